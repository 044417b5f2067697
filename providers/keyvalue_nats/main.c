/* SPDX-License-Identifier: Apache-2.0 */
/* The keyvalue-nats provider's process. */
#include "providers/keyvalue_nats/provider.h"

int main(void)
{
    return sdk_run(&keyvalue_nats_provider);
}
