// Package hugepages asks for memory in large pages: a product that reads a weight of many megabytes once waits less for the
// translation of addresses then.
package hugepages
