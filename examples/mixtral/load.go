package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// writeLoad prints the tokens that each expert of each layer got, load[layer][expert], as a table.
func writeLoad(w io.Writer, load [][]int64) error {
	if _, err := fmt.Fprintln(w, "tokens that each expert got"); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(head string, cells []int64) {
		line := head + "\t"
		for _, c := range cells {
			line += strconv.FormatInt(c, 10) + "\t"
		}
		fmt.Fprintln(t, line) // t keeps an error for Flush
	}
	for i, layer := range load {
		if i == 0 {
			experts := make([]int64, len(layer))
			for e := range experts {
				experts[e] = int64(e)
			}
			row("expert", experts)
		}
		row(fmt.Sprintf("layer %d", i), layer)
	}
	return t.Flush()
}

// addLoad adds the counts of another text to load.
func addLoad(load, more [][]int64) {
	for i, layer := range more {
		for e, n := range layer {
			load[i][e] += n
		}
	}
}
