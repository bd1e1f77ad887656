package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// app is one call of the command.
type app struct {
	options
	stdin          io.Reader
	stdout, stderr io.Writer
}

// do does what the options ask for.
func (a *app) do(ctx context.Context) error {
	switch a.mode {
	case modePrompt:
		return a.withModel(func(m *model) error { return a.continueText(ctx, m) })
	case modeIDs:
		return a.withModel(func(m *model) error { return a.continueIDs(ctx, m) })
	case modeTokenize:
		return a.tokenize()
	case modeDetokenize:
		return a.detokenize()
	}
	return a.withModel(func(m *model) error { return a.demo(ctx, m) })
}

// withModel calls f with the model that the options name.
func (a *app) withModel(f func(*model) error) error {
	d, err := device(a.device)
	if err != nil {
		return err
	}
	m, err := folder(a.model).open(d, a.pack)
	if err != nil {
		return err
	}
	return errors.Join(f(m), m.close())
}

func (a *app) sampler() *sampler { return newSampler(a.temperature, a.topP, a.seed) }

// countsLoad tells whether the options ask for the experts' load.
func (a *app) countsLoad() bool { return a.load || a.loadPlot != "" }

// input returns the argument, or standard input for "-".
func (a *app) input(argument string) (string, error) {
	if argument != "-" {
		return argument, nil
	}
	text, err := io.ReadAll(a.stdin)
	if err != nil {
		return "", fmt.Errorf("standard input: %w", err)
	}
	return string(text), nil
}

// finish reports on a generation that ended with err, and closes it.
func (a *app) finish(g *generation, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		line := g.speed.String()
		if a.temperature > 0 {
			line += fmt.Sprintf("; seed %d", a.seed)
		}
		fmt.Fprintln(a.stderr, line)
	}
	if err == nil {
		err = a.report(g.session.Load())
	}
	return errors.Join(err, g.close())
}

// report prints and draws the experts' load as the options ask.
func (a *app) report(load [][]int64) error {
	if a.load {
		if err := writeLoad(a.stdout, load); err != nil {
			return err
		}
	}
	if a.loadPlot != "" {
		return plotLoad(a.loadPlot, load)
	}
	return nil
}
