package hugepages

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// size is that of a huge page in bytes.
const size = 2 << 20

// Want asks the operating system for huge pages where they fit into data, which has not been written yet. It is a hint: if it is not
// taken, nothing changes.
func Want[E any](data []E) {
	if len(data) == 0 {
		return
	}
	all := unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), int(unsafe.Sizeof(data[0]))*len(data))
	skip := -int(uintptr(unsafe.Pointer(&all[0]))) & (size - 1)
	if n := (len(all) - skip) &^ (size - 1); n > 0 {
		_ = unix.Madvise(all[skip:][:n], unix.MADV_HUGEPAGE)
	}
}
