// Package peak has loops that show how much arithmetic a CPU can do and how much memory it can read at most, for benchmarks to be
// compared with.
package peak

import "bytes"

// Loop is a loop of multiply-adds on registers alone.
type Loop struct {
	Run   func(rounds int) // rounds is positive
	Flops int              // floating-point operations of a round, two for a multiply-add
}

// For is the loop of float32 for a backend of package ops/cpu, by the name that it has: fused multiply-adds on its vectors. For a name that is none
// of these it is one in plain Go, of single numbers.
func For(name string) Loop {
	if l, ok := loops[name]; ok {
		return l
	}
	return Loop{plain, 2 * plainSums}
}

// Tiles is the loop of bfloat16 for a backend of package ops/cpu that multiplies tiles of such, by name; ok tells whether it is one.
func Tiles(name string) (l Loop, ok bool) {
	l, ok = tiles[name]
	return l, ok
}

const plainSums = 8

func plain(rounds int) {
	var a, b, c, d, e, f, g, h float32
	x, y := zero, zero
	for range rounds {
		a = a*x + y
		b = b*x + y
		c = c*x + y
		d = d*x + y
		e = e*x + y
		f = f*x + y
		g = g*x + y
		h = h*x + y
	}
	zero = a + b + c + d + e + f + g + h
}

// zero is 0, which the compiler does not know.
var zero float32

// reader reads 64 bytes a round from each of four places that are stride bytes apart.
type reader func(from *byte, stride, rounds int)

// Read reads all of memory once: for a backend of package ops/cpu, by name, with its vectors and from four places at once, for another
// name as Go's library looks for a byte. It is safe for concurrent use.
//
// The result is where the first zero is in what is left after whole blocks of 272 KiB, −1 if there is none: something that is made of
// what was read.
func Read(name string, memory []byte) int {
	// The places are in one huge page mostly. A power of two apart they take a tenth more time on a Xeon.
	const streams, line, block = 4, 64, 272 << 10
	if read, ok := readers[name]; ok {
		for ; len(memory) >= block; memory = memory[block:] {
			read(&memory[0], block/streams, block/streams/line)
		}
	}
	return bytes.IndexByte(memory, 0)
}
