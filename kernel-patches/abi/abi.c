/* SPDX-License-Identifier: Apache-2.0 */
#include "hmm_dmirror_uapi.h"
