/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Names liburcu (flavour bp) to the package manager. C code includes <urcu/...> itself, and only
 * rcu.h does. */
