// Package kernels is the CUDA C++ of package cuda: one *.cu a stage, compiled ahead of time into bin/, which package cuda
// embeds. It has no Go code to call. README.md says how the kernels are built and what they rely on.
package kernels

//go:generate python3 build.py
