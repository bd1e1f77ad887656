//go:build cu && linux && cgo

package cuda

import (
	"math/bits"
	"runtime"
	"sync"
)

const (
	groupSize    = 8
	groupedBytes = 64 << 10 // of the largest Array that is made in a group
)

// nursery makes the Arrays of a device. To have the garbage collector tell when an Array is unreachable costs more than
// everything else that an op does on the host, so it is asked for groups of small Arrays: the memory of a group is free when no
// Array of it is reachable. An Array's group holds the Arrays made after it whose size has the same power of two.
type nursery struct {
	mu    sync.Mutex
	begun [8]group // by the power of two, from 512 bytes on
}

// group is a group whose first Arrays are given out.
type group struct {
	arrays *[groupSize]Array // nil if no group is begun
	next   int
}

// array makes an open Array of so many bytes, without memory and shape.
func (n *nursery) array(d *Device, bytes int64) *Array {
	if bytes > groupedBytes {
		a := &Array{reference: &reference{device: d}}
		runtime.AddCleanup(a, (*reference).close, a.reference)
		return a
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	g := &n.begun[bits.Len64(uint64(max(bytes-1, 0))>>9)]
	if g.arrays == nil {
		g.begin(d)
	}
	a := &g.arrays[g.next]
	if g.next++; g.next == groupSize {
		*g = group{}
	}
	return a
}

func (g *group) begin(d *Device) {
	references := new([groupSize]reference)
	g.arrays = new([groupSize]Array)
	for i := range references {
		references[i].device = d
		g.arrays[i].reference = &references[i]
	}
	runtime.AddCleanup(g.arrays, func(references *[groupSize]reference) {
		for i := range references {
			references[i].close()
		}
	}, references)
}

// leave gives up the groups that are begun, so that their Arrays can be found unreachable.
func (n *nursery) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun = [len(n.begun)]group{}
}
