//go:build cu && linux && cgo

/*
 * A program that is linked to libcuda does not start on a machine without it, so this one is not: each function of the driver
 * that it may call is defined here as a jump through a pointer, and the pointers are set from libcuda.so.1 when the program
 * starts. Where the library or a function of it is missing, the pointer leads to a function that returns an error, as every
 * function of the driver can.
 *
 * The definitions are hidden: libraries of the process that link to libcuda themselves do not see them.
 */

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "driver.h"

enum { notInitialized = 3, notFound = 500 }; /* CUDA_ERROR_NOT_INITIALIZED, CUDA_ERROR_NOT_FOUND */

static void *library;
static const char *message;
static int initResult = notInitialized;

static int missing(void) { return library == NULL ? notInitialized : notFound; }

#if defined(__x86_64__)
#define JUMP(name) "\tendbr64\n\tjmp *moe_" #name "(%rip)\n"
#elif defined(__aarch64__)
#define JUMP(name) "\thint #34\n\tadrp x16, moe_" #name "\n\tldr x16, [x16, :lo12:moe_" #name "]\n\tbr x16\n"
#else
#error "the jump through a pointer has to be written for this processor"
#endif

#define DRIVER_FUNCTION(name)                                                    \
	__attribute__((visibility("hidden"), used)) void *moe_##name = missing;      \
	__asm__(".pushsection .text\n\t.p2align 4\n\t.hidden " #name "\n\t.globl " #name \
	        "\n\t.type " #name ", %function\n" #name ":\n" JUMP(name)                \
	        "\t.size " #name ", . - " #name "\n\t.popsection\n");
#include "driver_functions.h"
#undef DRIVER_FUNCTION

static const struct {
	const char *name;
	void **pointer;
} functions[] = {
#define DRIVER_FUNCTION(name) {#name, &moe_##name},
#include "driver_functions.h"
#undef DRIVER_FUNCTION
};

/*
 * gorgonia.org/cu calls cuInit when the program starts, and ends the program if that fails. Here it loads the driver and says
 * that all is well; how it went is for Open to report.
 */
__attribute__((visibility("hidden"))) int cuInit(unsigned int flags) {
	if (library != NULL || message != NULL) return 0;
	library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		const char *why = dlerror();
		message = strdup(why != NULL ? why : "dlopen failed");
		return 0;
	}
	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
		void *f = dlsym(library, functions[i].name);
		if (f != NULL) *functions[i].pointer = f;
	}
	int (*init)(unsigned int) = (int (*)(unsigned int))dlsym(library, "cuInit");
	initResult = init == NULL ? notFound : init(flags);
	return 0;
}

const char *moeDriverMessage(void) { return message; }

int moeDriverResult(void) { return initResult; }
