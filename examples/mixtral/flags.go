package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// mode is what the command does; its name is the flag that asks for it.
type mode string

const (
	modeDemo       mode = "" // no flag: the embedded model's tasks
	modePrompt     mode = "prompt"
	modeIDs        mode = "ids"
	modeTokenize   mode = "tokenize"
	modeDetokenize mode = "detokenize"
)

// mostTokens bounds -n: room for keys and values of so many tokens is set aside at once.
const mostTokens = 1 << 20

// options are the command line.
type options struct {
	mode  mode
	model string // folder of the checkpoint; empty: the embedded one
	text  string // of -prompt or -tokenize; "-" is standard input
	ids   string // of -ids or -detokenize; "-" is standard input

	n           int
	temperature float64
	topP        float64
	seed        uint64
	device      string
	pack        bool

	dump       string
	load       bool
	loadPlot   string
	cpuProfile string
}

// usedIn says in which modes a flag has a meaning; a flag that is not here has one in all of them.
var usedIn = map[string][]mode{
	"model":       {modePrompt, modeIDs, modeTokenize, modeDetokenize},
	"n":           {modePrompt, modeIDs},
	"temperature": {modePrompt, modeIDs},
	"top-p":       {modePrompt, modeIDs},
	"seed":        {modeDemo, modePrompt, modeIDs},
	"device":      {modeDemo, modePrompt, modeIDs},
	"pack":        {modeDemo, modePrompt, modeIDs},
	"dump":        {modeIDs},
	"load":        {modeDemo, modePrompt, modeIDs},
	"load-plot":   {modeDemo, modePrompt, modeIDs},
}

// flagSet binds the flags to o and to the arguments of the modes.
func flagSet(o *options) *flag.FlagSet {
	fs := flag.NewFlagSet("mixtral", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run prints errors and usage itself
	fs.StringVar(&o.model, "model", "", "")
	fs.StringVar(&o.text, string(modePrompt), "", "")
	fs.StringVar(&o.text, string(modeTokenize), "", "")
	fs.StringVar(&o.ids, string(modeIDs), "", "")
	fs.StringVar(&o.ids, string(modeDetokenize), "", "")
	fs.IntVar(&o.n, "n", 64, "")
	fs.Float64Var(&o.temperature, "temperature", 0, "")
	fs.Float64Var(&o.topP, "top-p", 1, "")
	fs.Uint64Var(&o.seed, "seed", rand.Uint64N(1_000_000), "")
	fs.StringVar(&o.device, "device", "auto", "")
	fs.BoolVar(&o.pack, "pack", false, "")
	fs.StringVar(&o.dump, "dump", "", "")
	fs.BoolVar(&o.load, "load", false, "")
	fs.StringVar(&o.loadPlot, "load-plot", "", "")
	fs.StringVar(&o.cpuProfile, "cpuprofile", "", "")
	return fs
}

// parseOptions reads the command line. It returns flag.ErrHelp if that asks for help.
func parseOptions(args []string) (options, error) {
	var o options
	fs := flagSet(&o)
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q (-h explains)", fs.Arg(0))
	}
	var given []string // sorted
	fs.Visit(func(f *flag.Flag) { given = append(given, f.Name) })
	for _, m := range []mode{modePrompt, modeIDs, modeTokenize, modeDetokenize} {
		if !slices.Contains(given, string(m)) {
			continue
		}
		if o.mode != modeDemo {
			return o, fmt.Errorf("-%s and -%s exclude each other", o.mode, m)
		}
		o.mode = m
	}
	for _, name := range given {
		if modes := usedIn[name]; modes != nil && !slices.Contains(modes, o.mode) {
			return o, wrongMode(name, o.mode, modes)
		}
		if f := fs.Lookup(name); f.Value.String() == "" && name != string(modePrompt) && name != string(modeTokenize) {
			return o, fmt.Errorf("-%s is empty", name)
		}
	}
	return o, o.validate(given)
}

// wrongMode is the error of a flag that the mode does not use.
func wrongMode(name string, m mode, modes []mode) error {
	if m != modeDemo {
		return fmt.Errorf("-%s has no meaning with -%s", name, m)
	}
	var names []string
	for _, m := range modes {
		names = append(names, "-"+string(m))
	}
	return fmt.Errorf("-%s needs %s", name, strings.Join(names, " or "))
}

func (o *options) validate(given []string) error {
	switch {
	case o.n < 0 || o.n > mostTokens:
		return fmt.Errorf("-n is %d, want 0 to %d", o.n, mostTokens)
	case !(o.temperature >= 0) || math.IsInf(o.temperature, 0):
		return fmt.Errorf("-temperature is %v, want a number from 0", o.temperature)
	case !(o.topP > 0 && o.topP <= 1):
		return fmt.Errorf("-top-p is %v, want more than 0 and at most 1", o.topP)
	case o.temperature == 0 && slices.Contains(given, "top-p"):
		return fmt.Errorf("-top-p %v needs a -temperature above 0: without one the likeliest token is taken", o.topP)
	case o.temperature > 0 && o.dump != "":
		return fmt.Errorf("-dump and -temperature %v exclude each other: the ids of a dump are the likeliest ones", o.temperature)
	}
	_, err := device(o.device)
	return err
}
