package main

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gorgonia/moe/ops/backend"
)

// fillChunk is how many elements are drawn from one seed, so that what a tensor holds does not depend on the CPUs.
const fillChunk = 1 << 16

// fillAs sets the elements of v to random numbers in ±amplitude, with all CPUs: the weights of a layer are gigabytes.
func fillAs[T backend.Number](v backend.Value, amplitude float32) error {
	dst, err := backend.Slice[T](v)
	if err != nil {
		return err
	}
	chunks := int64((len(dst) + fillChunk - 1) / fillChunk)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			buf := make([]float32, min(fillChunk, len(dst)))
			for i := next.Add(1) - 1; i < chunks; i = next.Add(1) - 1 {
				draw32(buf, uint64(i), amplitude)
				backend.Narrow(dst[i*fillChunk:], buf)
			}
		})
	}
	workers.Wait()
	return nil
}

// draw32 sets buf to random numbers in ±amplitude, two from each word of the generator.
func draw32(buf []float32, seed uint64, amplitude float32) {
	source := rand.NewPCG(seed, 1)
	scale := amplitude / (1 << 31)
	for i := 0; i < len(buf); i += 2 {
		word := source.Uint64()
		buf[i] = float32(int32(word)) * scale
		if i+1 < len(buf) {
			buf[i+1] = float32(int32(word>>32)) * scale
		}
	}
}

// putAs writes numbers into v, from the element at on.
func putAs[T backend.Number](v backend.Value, at int, numbers []float32) error {
	dst, err := backend.Slice[T](v)
	if err != nil {
		return err
	}
	backend.Narrow(dst[at:], numbers)
	return nil
}
