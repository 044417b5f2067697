/* SPDX-License-Identifier: Apache-2.0 */
/* The ollama provider's process. */
#include "providers/ollama/provider.h"

int main(void)
{
    return sdk_run(&ollama_provider);
}
