/* The driver of NVIDIA's GPUs, loaded when the program starts if it is there. See driver.c. */
#ifndef MOE_DRIVER_H
#define MOE_DRIVER_H

/* moeDriverMessage tells why libcuda.so.1 could not be loaded. It is NULL if it was. */
const char *moeDriverMessage(void);

/* moeDriverResult is what the driver's cuInit returned. */
int moeDriverResult(void);

#endif
