//go:build unix

package cpu

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guarded is memory of n elements between two pages that cannot be touched: it ends where the second begins if atEnd is set,
// and begins where the first ends if not.
func guarded[E any](t *testing.T, n int, atEnd bool) []E {
	t.Helper()
	var e E
	size, page := n*int(unsafe.Sizeof(e)), os.Getpagesize()
	inner := max((size+page-1)/page*page, page)
	all, err := unix.Mmap(-1, 0, inner+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	for _, guard := range [][]byte{all[:page], all[page+inner:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	from := page
	if atEnd {
		from += inner - size
	}
	return unsafe.Slice((*E)(unsafe.Pointer(&all[from])), n)
}
