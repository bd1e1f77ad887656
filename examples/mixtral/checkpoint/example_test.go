package checkpoint_test

import (
	"bytes"
	"fmt"
	"log"
	"path/filepath"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
)

// A file is written and read again in memory.
func ExampleWrite() {
	var file bytes.Buffer
	err := checkpoint.Write(&file, checkpoint.Tensor{
		Name: "ids", DType: checkpoint.I32, Shape: []int{2}, Data: []byte{7, 0, 0, 0, 9, 0, 0, 0},
	})
	if err != nil {
		log.Fatal(err)
	}
	f, err := checkpoint.Parse(file.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	for t := range f.All() {
		fmt.Printf("%s %s %v % x\n", t.Name, t.DType, t.Shape, t.Data)
	}
	// Output: ids I32 [2] 07 00 00 00 09 00 00 00
}

// The config says which tensors a model has; Check holds a checkpoint against
// it before anything is read.
func ExampleConfig_Check() {
	describe := func(dir string) error {
		config, err := checkpoint.ReadConfig(filepath.Join(dir, checkpoint.ConfigName))
		if err != nil {
			return err
		}
		weights, err := checkpoint.OpenDir(dir)
		if err != nil {
			return err
		}
		defer weights.Close()
		layout, err := config.Check(weights)
		if err != nil {
			return err
		}
		w1, err := weights.Tensor(checkpoint.InLayer(2, checkpoint.Expert(7, "w1")))
		if err != nil {
			return err
		}
		fmt.Println(layout, w1.Name, w1.DType, w1.Shape)
		return nil
	}
	if err := describe("../testdata/golden/public-bf16-sharded"); err != nil {
		log.Fatal(err)
	}
	// Output: per-expert model.layers.2.block_sparse_moe.experts.7.w1.weight BF16 [224 128]
}
