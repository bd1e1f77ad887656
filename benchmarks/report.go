package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// record is what is reported of a case, as one line of JSON.
type record struct {
	Work        string  `json:"work"`
	Shape       string  `json:"shape"`
	Tokens      int     `json:"tokens"`
	Dtype       string  `json:"dtype"` // of the weights; "-" for a work without
	Packed      bool    `json:"packed,omitempty"`
	Activations string  `json:"activations,omitempty"`
	Routing     string  `json:"routing,omitempty"`
	Rows        rows    `json:"rows,omitempty"` // of plans
	Backend     string  `json:"backend"`        // the device
	Variant     string  `json:"variant"`        // the code that ran on it
	CPU         string  `json:"cpu"`
	CPUs        int     `json:"cpus"` // GOMAXPROCS
	Go          string  `json:"go"`
	NS          float64 `json:"ns"` // median
	MinNS       float64 `json:"min_ns"`
	MaxNS       float64 `json:"max_ns"`
	CPUNS       float64 `json:"cpu_ns,omitempty"` // processor time of all threads, mean
	Reps        int     `json:"reps"`
	GFLOPS      float64 `json:"gflops,omitempty"`
	GBS         float64 `json:"gbs"`
	OfFMA       float64 `json:"of_fma,omitempty"`  // with -ceilings, share of what multiply-adds on registers reach, on tiles where a case uses them
	OfRead      float64 `json:"of_read,omitempty"` // of what reading reaches
	OfCopy      float64 `json:"of_copy,omitempty"` // of what a copy of as many bytes reaches, for works that copy
}

func newRecord(t timing) *record {
	return &record{
		CPU: cpuName(), CPUs: runtime.GOMAXPROCS(0), Go: runtime.Version(),
		NS: t.median, MinNS: t.min, MaxNS: t.max, CPUNS: t.cpu, Reps: t.samples,
	}
}

// report writes records as they come: lines of JSON, or a table for each shape.
type report struct {
	json  *json.Encoder
	out   io.Writer
	table *tabwriter.Writer
	shape string // of the table
}

func newReport(out io.Writer, o *options) *report {
	if o.json {
		return &report{json: json.NewEncoder(out)}
	}
	r := &report{out: out, table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	packed := ""
	if o.pack {
		packed = ", weights packed"
	}
	fmt.Fprintf(out, "%s, %d CPUs, %s; backend %v, activations %s, routing %s, rows %s%s\n",
		cpuName(), runtime.GOMAXPROCS(0), runtime.Version(), o.device, o.activations.name, o.routing.name, o.rows, packed)
	return r
}

func (r *report) add(c *record) error {
	if r.json != nil {
		return r.json.Encode(c)
	}
	if c.Shape != r.shape {
		if err := r.close(); err != nil {
			return err
		}
		r.shape = c.Shape
		fmt.Fprintf(r.out, "\n%s\n", c.Shape)
		fmt.Fprintln(r.table, "work\tT\tdtype\tvariant\ttime\tmin\tmax\tCPU time\treps\tGFLOP/s\tof FMA\tGB/s\tof reads\tof copy")
	}
	_, err := fmt.Fprintf(r.table, "%s\t%d\t%s\t%s\t%v\t%v\t%v\t%v\t%d\t%s\t%s\t%s\t%s\t%s\n", c.Work, c.Tokens, c.Dtype, c.Variant,
		rounded(c.NS), rounded(c.MinNS), rounded(c.MaxNS), rounded(c.CPUNS), c.Reps, number("%.4g", c.GFLOPS), number("%.0f%%", 100*c.OfFMA),
		number("%.4g", c.GBS), number("%.0f%%", 100*c.OfRead), number("%.0f%%", 100*c.OfCopy))
	return err
}

func (r *report) close() error {
	if r.json != nil {
		return nil
	}
	return r.table.Flush()
}

// rounded is a duration of ns nanoseconds with four digits.
func rounded(ns float64) time.Duration {
	unit := 1.
	for ns/unit >= 1e4 {
		unit *= 10
	}
	return time.Duration(float64(int64(ns/unit+0.5)) * unit)
}

// number formats what is known, and a dash for 0.
func number(format string, x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}
