// Command mixtral runs a Mixtral model, a Mixture-of-Experts language model, as a Gorgonia graph. Without arguments it
// runs a tiny trained one that it carries with it; with -model it runs any checkpoint in the Hugging Face layout. See -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
)

// Exit statuses.
const (
	exitOK          = 0
	exitError       = 1
	exitInterrupted = 130 // as shells report a command that SIGINT ended
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the command: it returns the exit status. Every error is one line on stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err = io.WriteString(stdout, usage)
	} else if err == nil {
		a := app{options: o, stdin: stdin, stdout: stdout, stderr: stderr}
		err = profiled(o.cpuProfile, func() error { return a.do(ctx) })
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "mixtral:", oneLine(err.Error()))
	return exitError
}

// oneLine joins the lines of a message.
func oneLine(message string) string {
	return strings.Join(strings.FieldsFunc(message, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// profiled calls f, and writes its CPU profile to path unless that is empty.
func profiled(path string, f func() error) (err error) {
	if path == "" {
		return f()
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("-cpuprofile: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return fmt.Errorf("-cpuprofile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return f()
}
