package checkpoint

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// mapFile maps the first size (> 0) bytes of f read-only. The mapping outlives
// f; release ends it.
func mapFile(f *os.File, size int) (data []byte, release func() error, err error) {
	high, low := uint32(uint64(size)>>32), uint32(uint64(size))
	mapping, err := windows.CreateFileMapping(windows.Handle(f.Fd()), nil, windows.PAGE_READONLY, high, low, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("file mapping of %d bytes: %w", size, err)
	}
	addr, err := windows.MapViewOfFile(mapping, windows.FILE_MAP_READ, 0, 0, uintptr(size))
	// The view keeps the mapping alive, and a failed close only leaks a handle.
	_ = windows.CloseHandle(mapping)
	if err != nil {
		return nil, nil, fmt.Errorf("view of %d bytes: %w", size, err)
	}
	// The view is not Go memory: reading the address through a pointer to it
	// tells vet that no collector will move what it points to.
	data = unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), size)
	return data, func() error { return windows.UnmapViewOfFile(addr) }, nil
}
