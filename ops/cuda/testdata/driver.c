/*
 * A stand-in for the driver on a machine without one, for tests of the host's side. Its GPUs have a gibibyte of the host's
 * memory and run nothing but copies; those that are captured run when the graph is launched. The environment sets what cuInit
 * returns (STANDIN_INIT), the driver's version, the number of GPUs, the major compute capability, whether work seems to be
 * under way (STANDIN_BUSY), how many events that take the time there can be (STANDIN_EVENTS) and whether others can be made
 * (STANDIN_MARKS).
 */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { outOfMemory = 2, notReady = 600, capacity = 1 << 30, header = 512, graphCopies = 4096 };

struct copy {
	void *to, *from;
	size_t bytes;
};
struct graph {
	int count;
	struct copy copies[graphCopies];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t used;
static int timers;
static struct graph *recording;
static char object, timer; /* what handles point to, those of events that take the time to the second */

static int number(const char *name, int otherwise) {
	const char *s = getenv(name);
	return s != NULL ? atoi(s) : otherwise;
}

int cuInit(unsigned flags) { return number("STANDIN_INIT", 0); }

int cuDriverGetVersion(int *v) {
	*v = number("STANDIN_VERSION", 12000);
	return 0;
}

int cuDeviceGetCount(int *n) {
	*n = number("STANDIN_DEVICES", 2);
	return 0;
}

int cuDeviceGet(int *device, int ordinal) {
	*device = ordinal;
	return 0;
}

int cuDeviceGetName(char *name, int n, int device) {
	strncpy(name, "stand-in", n);
	return 0;
}

int cuDeviceGetAttribute(int *v, int which, int device) {
	enum { multiprocessors = 16, major = 75 };
	*v = which == major ? number("STANDIN_MAJOR", 9) : which == multiprocessors ? 132 : 0;
	return 0;
}

static int give(void **handle) {
	*handle = &object;
	return 0;
}

int cuDevicePrimaryCtxRetain(void **context, int device) { return give(context); }
int cuCtxSetCurrent(void *context) { return 0; }
int cuStreamCreate(void **stream, unsigned flags) { return give(stream); }
int cuStreamSynchronize(void *stream) { return 0; }
int cuStreamQuery(void *stream) { return number("STANDIN_BUSY", 0) ? notReady : 0; }

int cuEventCreate(void **event, unsigned flags) {
	if (flags != 0) return number("STANDIN_MARKS", 1) ? give(event) : outOfMemory;
	pthread_mutex_lock(&lock);
	int full = timers >= number("STANDIN_EVENTS", 1000);
	if (!full) timers++;
	pthread_mutex_unlock(&lock);
	*event = &timer;
	return full ? outOfMemory : 0;
}

int cuEventDestroy_v2(void *event) {
	pthread_mutex_lock(&lock);
	if (event == &timer) timers--;
	pthread_mutex_unlock(&lock);
	return 0;
}

int cuEventRecord(void *event, void *stream) { return 0; }
int cuEventSynchronize(void *event) { return 0; }

int cuEventElapsedTime(float *milliseconds, void *start, void *end) {
	*milliseconds = 1.5f;
	return 0;
}

int cuModuleLoadData(void **module, const void *image) { return give(module); }
int cuModuleGetFunction(void **function, void *module, const char *name) { return give(function); }
int cuFuncSetAttribute(void *function, int attribute, int value) { return 0; }
int cuLaunchKernelEx(const void *config, void *function, void **parameters, void **extra) { return 0; }

static void *allocate(size_t bytes) {
	char *p = aligned_alloc(header, (bytes + 2 * header - 1) / header * header);
	if (p == NULL) return NULL;
	*(size_t *)p = bytes;
	return p + header;
}

int cuMemHostAlloc(void **p, size_t bytes, unsigned flags) {
	*p = allocate(bytes);
	return *p == NULL ? outOfMemory : 0;
}

int cuMemAlloc_v2(void **p, size_t bytes) {
	pthread_mutex_lock(&lock);
	*p = used + bytes <= capacity && used + bytes >= bytes ? allocate(bytes) : NULL;
	if (*p != NULL) used += bytes;
	pthread_mutex_unlock(&lock);
	return *p == NULL ? outOfMemory : 0;
}

int cuMemFree_v2(void *p) {
	char *start = (char *)p - header;
	pthread_mutex_lock(&lock);
	used -= *(size_t *)start;
	free(start);
	pthread_mutex_unlock(&lock);
	return 0;
}

int cuMemGetInfo_v2(size_t *unused, size_t *total) {
	pthread_mutex_lock(&lock);
	*unused = capacity - used;
	*total = capacity;
	pthread_mutex_unlock(&lock);
	return 0;
}

static int copy(void *to, void *from, size_t bytes) {
	pthread_mutex_lock(&lock);
	struct graph *g = recording;
	int full = g != NULL && g->count == graphCopies;
	if (g == NULL) memcpy(to, from, bytes);
	else if (!full) g->copies[g->count++] = (struct copy){to, from, bytes};
	pthread_mutex_unlock(&lock);
	return full ? outOfMemory : 0;
}

int cuMemcpyHtoDAsync_v2(void *to, void *from, size_t bytes, void *stream) { return copy(to, from, bytes); }
int cuMemcpyDtoHAsync_v2(void *to, void *from, size_t bytes, void *stream) { return copy(to, from, bytes); }
int cuMemcpyDtoDAsync_v2(void *to, void *from, size_t bytes, void *stream) { return copy(to, from, bytes); }

int cuStreamBeginCapture_v2(void *stream, int mode) {
	recording = calloc(1, sizeof *recording);
	return recording == NULL ? outOfMemory : 0;
}

int cuStreamEndCapture(void *stream, void **graph) {
	*graph = recording;
	recording = NULL;
	return 0;
}

int cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long flags) {
	*exec = malloc(sizeof(struct graph));
	if (*exec == NULL) return outOfMemory;
	memcpy(*exec, graph, sizeof(struct graph));
	return 0;
}

int cuGraphLaunch(void *exec, void *stream) {
	struct graph *g = exec;
	for (int i = 0; i < g->count; i++) copy(g->copies[i].to, g->copies[i].from, g->copies[i].bytes);
	return 0;
}

int cuGraphDestroy(void *graph) {
	free(graph);
	return 0;
}

int cuGraphExecDestroy(void *exec) { return cuGraphDestroy(exec); }
