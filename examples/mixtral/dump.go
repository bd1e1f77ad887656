package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
)

// writeDump writes a safetensors file with logits (positions, vocab) F32 and ids I32.
func writeDump(path string, logits []float32, vocab int, ids []int32) (err error) {
	l := checkpoint.Tensor{Name: "logits", DType: checkpoint.F32, Shape: []int{len(logits) / vocab, vocab}}
	for _, v := range logits {
		l.Data = binary.LittleEndian.AppendUint32(l.Data, math.Float32bits(v))
	}
	i := checkpoint.Tensor{Name: "ids", DType: checkpoint.I32, Shape: []int{len(ids)}}
	for _, v := range ids {
		i.Data = binary.LittleEndian.AppendUint32(i.Data, uint32(v))
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("-dump: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriter(file)
	if err := checkpoint.Write(w, l, i); err != nil {
		return fmt.Errorf("-dump %s: %w", path, err)
	}
	return w.Flush()
}
