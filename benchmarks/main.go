// Command benchmarks measures ops, layers and whole models by name, on any backend, over shapes of real models:
//
//	go run ./benchmarks -work permute,experts -shape mixtral -tokens 1,64 -dtype f32,bf16
//
// prints a table; with -json it prints one line of JSON a case. -h lists what can be measured, with the formulas behind the
// rates. README.md says how a case is timed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command: 0 if every case was measured, 1 if one failed, 2 if the flags are wrong.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		if help(stdout) != nil {
			return 1
		}
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "benchmarks: %v\n", err)
		return 2
	}
	if o.cpus > 0 {
		runtime.GOMAXPROCS(o.cpus)
	}
	if err := measureAll(o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "benchmarks: %v\n", err)
		return 1
	}
	return 0
}

// measureAll measures and reports every case. One that fails is told on stderr, and the rest goes on.
func measureAll(o *options, stdout, stderr io.Writer) error {
	out := newReport(stdout, o)
	var against *ceilings
	if o.ceilings {
		var err error
		if against, err = o.measureCeilings(ceilingBytes); err != nil {
			return err
		}
		for _, r := range against.records() {
			if err := out.add(r); err != nil {
				return err
			}
		}
	}
	failed := 0
	for c := range o.cases() {
		r, err := c.measure(o, against)
		if err != nil {
			failed++
			fmt.Fprintf(stderr, "benchmarks: %v: %v\n", c, err)
			continue
		}
		if err := out.add(r); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d cases failed", failed)
	}
	return nil
}
