package cpu

import (
	"sync"

	"golang.org/x/sys/unix"
)

// mayUseTiles asks the kernel, once for the process, for leave to use AMX's tiles, for whose 8 KiB it otherwise has no room in the
// state of a thread. A kernel that gives leave has tiles enabled in the CPU (bits 17 and 18 of XCR0). One that is too old, or an
// emulation of one, refuses.
var mayUseTiles = sync.OnceValue(func() bool {
	const requestPermission, tileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
	_, _, errno := unix.Syscall(unix.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return errno == 0
})
