/* SPDX-License-Identifier: Apache-2.0 */
#include "init_shims.h"
