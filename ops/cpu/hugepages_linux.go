package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page in bytes.
const hugePage = 2 << 20

// wantHugePages asks the operating system for pages of hugePage bytes where they fit into memory that has not been written yet: a
// product that reads a weight once then waits less for address translation. It is a hint; if it is not taken, nothing changes.
func wantHugePages(data []uint32) {
	if len(data) == 0 {
		return
	}
	all := unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), 4*len(data))
	skip := -int(uintptr(unsafe.Pointer(&all[0]))) & (hugePage - 1)
	if n := (len(all) - skip) &^ (hugePage - 1); n > 0 {
		_ = unix.Madvise(all[skip:][:n], unix.MADV_HUGEPAGE)
	}
}
