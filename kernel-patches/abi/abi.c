// SPDX-License-Identifier: Apache-2.0
/* SwiftPM wants a source file in a C target; compiling this one runs the static asserts. */
#include "hmm_dmirror_layout.h"
#include "hmm_dmirror_numbers.h"
