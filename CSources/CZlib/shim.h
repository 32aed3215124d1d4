/* SPDX-License-Identifier: LGPL-2.1-or-later
 * zlib, for the compressed files of a recording. */
#include <zlib.h>
