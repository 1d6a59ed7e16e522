/*
 * Writing AML, the byte code of ACPI's DSDT.
 *
 * Source: ACPI specification 6.4, "ACPI Machine Language (AML) Specification" and "Resource Data
 * Types for ACPI". Only what our tables use.
 *
 * Packages nest: aml_scope_begin(a, ...) ... aml_end(a). Lengths are patched at the end.
 */
#ifndef HW_ACPI_AML_H
#define HW_ACPI_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH 8

typedef struct Aml {
    uint8_t *data; /* owned */
    size_t len, cap;
    size_t open[AML_DEPTH]; /* where the lengths of open packages stand */
    unsigned depth;
} Aml;

void aml_free(Aml *a);
void aml_bytes(Aml *a, const void *p, size_t n);
void aml_byte(Aml *a, uint8_t b);

/* Constants in their shortest form; "PNP0A03" as a compressed EISA ID; a string. */
void aml_int(Aml *a, uint64_t val);
void aml_eisaid(Aml *a, const char *id);
void aml_string(Aml *a, const char *s);
/* aml_name - the object name @path: up to four characters a segment, '.' between, leading '\'. */
void aml_name(Aml *a, const char *path);

/* Objects */
void aml_name_int(Aml *a, const char *name, uint64_t val);
void aml_name_eisaid(Aml *a, const char *name, const char *id);
void aml_name_string(Aml *a, const char *name, const char *s);
void aml_name_op(Aml *a, const char *name); /* Name (x, what follows */
void aml_scope_begin(Aml *a, const char *path);
void aml_device_begin(Aml *a, const char *name);
void aml_package_begin(Aml *a, unsigned count);
void aml_end(Aml *a);

/* Code. aml_method_begin - @args arguments; @serialized: one call at a time. aml_if_begin - the condition is the next
 * term. aml_store_name - Store (name, Local @local). aml_and_local - And (Local @local, @val). */
void aml_method_begin(Aml *a, const char *name, unsigned args, bool serialized);
void aml_if_begin(Aml *a);
void aml_else_begin(Aml *a);
void aml_store_name(Aml *a, const char *name, unsigned local);
void aml_store_int(Aml *a, uint64_t val, const char *name);
void aml_store_arg(Aml *a, unsigned arg, const char *name);
void aml_return_name(Aml *a, const char *name);
void aml_return_int(Aml *a, uint64_t val);
/* aml_lnot_name - LNot (name): the condition of an If. aml_name_dword - Name of an integer whose four bytes can be changed
 * later; aml_find_dword - where they are, once all is written. aml_return_address - Return (Package () { name + offset, 0 }). */
void aml_lnot_name(Aml *a, const char *name);
void aml_name_dword(Aml *a, const char *name, uint32_t val);
size_t aml_find_dword(const Aml *a, const char *name);
void aml_return_address(Aml *a, const char *name, uint64_t offset);
void aml_and_local(Aml *a, unsigned local, uint64_t val);
void aml_notify(Aml *a, const char *name, unsigned code);
/* aml_io_fields - OperationRegion @region of @count fields of @size (1 or 4) ports from @port on, called @names. */
void aml_io_fields(Aml *a, const char *region, uint16_t port, const char *const *names, unsigned count, unsigned size);

/* Resource templates: a buffer; descriptors in between. */
void aml_resources_begin(Aml *a);
void aml_resources_end(Aml *a);
void res_io(Aml *a, uint16_t first, uint16_t len);
void res_irq(Aml *a, unsigned irq); /* ISA: edge, active high */
void res_dma8(Aml *a, unsigned channel);
void res_memory32(Aml *a, bool writable, uint32_t base, uint32_t len);
void res_bus_range(Aml *a, uint16_t first, uint16_t last);
void res_io_range(Aml *a, uint16_t first, uint16_t last);
void res_memory_range(Aml *a, bool cacheable, uint32_t first, uint32_t last);
void res_memory_range64(Aml *a, uint64_t first, uint64_t last);

#endif
