/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's libcrypto: kernel builds need its development files anyway, and it spares building a copy of BoringSSL. */
#include <openssl/evp.h>
