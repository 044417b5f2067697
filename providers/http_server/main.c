/* SPDX-License-Identifier: Apache-2.0 */
/* The http-server provider's process. */
#include "providers/http_server/provider.h"

int main(void)
{
    return sdk_run(&http_server_provider);
}
