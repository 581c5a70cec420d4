/* SPDX-License-Identifier: Apache-2.0 */
/* What Swift cannot call by itself; each shim says why it exists. */
#pragma once
#include "init_shims.h"
#include "test_shims.h"
