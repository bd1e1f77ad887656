//go:build cu && linux && cgo

package cuda

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"gorgonia.org/cu"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cuda/internal/image"
)

//go:embed kernels/bin
var binaries embed.FS

// kernel is a function of the device's code, known by its name.
type kernel struct {
	name   string
	index  int // in kernels and in Device.functions
	shared int // the most dynamic shared memory that it is launched with, in bytes, if that is more than 48 KiB
}

// kernels are all kernels that the stages launch.
var kernels []*kernel

func newKernel(name string) *kernel { return newSharedKernel(name, 0) }

func newSharedKernel(name string, bytes int) *kernel {
	k := &kernel{name, len(kernels), bytes}
	kernels = append(kernels, k)
	return k
}

// floats are the dtypes that kernels exist for. The index is the dtype's code in parameters.
var floats = [...]struct {
	dtype  tensor.Dtype
	suffix string
}{
	{tensor.Float32, "f32"}, {tensor.Float64, "f64"}, {backend.BFloat16, "bf16"}, {backend.Float16, "f16"},
}

// float is the index in floats of an operand's dtype.
func (c *call) float(o operand) int {
	for i, f := range floats {
		if f.dtype == o.dtype {
			return i
		}
	}
	c.fail("%s is of %v, there are kernels for float32, float64, BFloat16 and Float16", o.what, o.dtype, backend.ErrUnsupported)
	return 0
}

// family is a kernel in a variant for each dtype.
type family [len(floats)]*kernel

// newFamily declares the kernels whose names are that of a dtype (_f32, _f64, …) between prefix and suffix.
func newFamily(prefix, suffix string) family { return newSharedFamily(prefix, suffix, 0) }

func newSharedFamily(prefix, suffix string, bytes int) (f family) {
	for i, dt := range floats {
		f[i] = newSharedKernel(prefix+"_"+dt.suffix+suffix, bytes)
	}
	return f
}

// newFamilyWithoutFloat64 is newFamily without the kernel for float64.
func newFamilyWithoutFloat64(prefix, suffix string) (f family) {
	for i, dt := range floats {
		if dt.dtype != tensor.Float64 {
			f[i] = newKernel(prefix + "_" + dt.suffix + suffix)
		}
	}
	return f
}

// square is a kernel in a variant for each pair of dtypes, by the source's and the destination's.
type square [len(floats)]family

// newSquare declares name_f32_f32, name_f32_f64, ….
func newSquare(name string) (s square) {
	for i, dt := range floats {
		s[i] = newFamily(name+"_"+dt.suffix, "")
	}
	return s
}

// function is the kernel on the call's device. The stage is declined if the device's code lacks it.
func (c *call) function(k *kernel) function {
	if c.err != nil {
		return nil
	}
	f := c.dev.functions[k.index]
	if f == nil {
		c.fail("%v has no kernel %s", c.dev, k.name, backend.ErrUnsupported)
	}
	return f
}

// codeVariable is the environment variable that forces the code which devices newer than the package run.
const codeVariable = "MOE_CUDA"

// loadKernels loads the code for the device and looks the kernels up. The device's context is current.
func (d *Device) loadKernels(files fs.FS) error {
	forced := os.Getenv(codeVariable)
	if forced != "" && forced != "ptx" {
		return fmt.Errorf("load the kernels: %s=%q, want ptx or nothing: %w", codeVariable, forced, backend.ErrParameter)
	}
	name, code, err := image.Load(files, "kernels/bin", d.major, d.minor, forced == "ptx")
	if err != nil {
		return fmt.Errorf("load the kernels: %w", err)
	}
	module, err := cu.LoadData(string(code))
	if err != nil {
		return fmt.Errorf("load the kernels %s: %w", name, err)
	}
	d.image, d.functions = name, make([]function, len(kernels))
	// Kernels of 9.0 and up wait themselves for the one in front, so the GPU may set them up before that one has ended.
	d.overlap = d.major >= 9 && strings.HasPrefix(name, "sm_") && cu.Version() >= 12030
	for _, k := range kernels {
		f, err := module.Function(k.name)
		if errors.Is(err, cu.NotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("load the kernel %s of %s: %w", k.name, name, err)
		}
		d.functions[k.index] = handle[function](f)
		if k.shared > 0 {
			if err := allowShared(d.functions[k.index], k.shared); err != nil {
				return fmt.Errorf("kernel %s: %d bytes of shared memory: %w", k.name, k.shared, err)
			}
		}
	}
	return nil
}
