/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Names liburcu's data structures to the package manager. C code includes <urcu/...> itself, and
 * only the baselines of CIOMMUBench do. */
