/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's public header under other names: what includes this before hostd/wasm/wasm.h speaks to the
 * reference interpreter instead of the engine, word for word the same otherwise. So the runner of the core suite
 * and the fuzzer's driver exist once and are compiled twice. Modules are shared: both read the same decoded one. */
#ifndef HOSTD_TESTS_WASM_REFERENCE_NAMES_H
#define HOSTD_TESTS_WASM_REFERENCE_NAMES_H

#define wasm_inst ref_inst
#define wasm_vm ref_vm
#define wasm_func ref_func
#define wasm_memory ref_memory
#define wasm_table ref_table
#define wasm_global ref_global
#define wasm_tag ref_tag

#define wasm_host_fn ref_host_fn
#define wasm_func_host ref_func_host
#define wasm_func_host_free ref_func_host_free
#define wasm_func_type ref_func_type
#define wasm_instantiate ref_instantiate
#define wasm_inst_free ref_inst_free
#define wasm_inst_start ref_inst_start
#define wasm_inst_export ref_inst_export
#define wasm_inst_module ref_inst_module
#define wasm_extern ref_extern

#define wasm_memory_new ref_memory_new
#define wasm_memory_free ref_memory_free
#define wasm_memory_base ref_memory_base
#define wasm_memory_size ref_memory_size
#define wasm_table_new ref_table_new
#define wasm_table_free ref_table_free
#define wasm_global_new ref_global_new
#define wasm_global_free ref_global_free
#define wasm_global_get ref_global_get
#define wasm_global_type ref_global_type

#define wasm_vm_new ref_vm_new
#define wasm_vm_free ref_vm_free
#define wasm_vm_reset ref_vm_reset
#define wasm_enter ref_enter
#define wasm_run ref_run
#define wasm_vm_results ref_vm_results
#define wasm_vm_fuel ref_vm_fuel
#define wasm_vm_fuel_used ref_vm_fuel_used
#define wasm_vm_set_trap ref_vm_set_trap
#define wasm_vm_trap ref_vm_trap
#define wasm_vm_trap_report ref_vm_trap_report

#endif
