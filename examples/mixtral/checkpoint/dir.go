package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// The names of a checkpoint's files.
const (
	// ConfigName is the model's configuration; see ReadConfig.
	ConfigName = "config.json"
	// WeightsName is the file of a checkpoint that is not sharded.
	WeightsName = "model.safetensors"
	// IndexName is the file that says which shard holds a tensor.
	IndexName = "model.safetensors.index.json"

	maxIndex = 100_000_000 // bytes of an index file
)

// Dir is an open checkpoint: the tensors of one folder, whole or sharded. It
// is safe for concurrent use, except that Close must not run beside anything
// that still uses it or its bytes.
type Dir struct {
	name   string
	shards []*File
	fileOf map[string]*File
	closed bool
}

// OpenDir opens the checkpoint in the folder dir: model.safetensors, or where
// that does not exist the shards of model.safetensors.index.json. All files
// are opened as by OpenFile and all is checked: every tensor of the index must
// be in the shard it names. A tensor of a shard that the index does not list
// is no part of the checkpoint. Links are followed, as the caches of model
// hubs are made of them.
//
// The caller must Close the checkpoint to unmap its files.
func OpenDir(dir string) (*Dir, error) {
	return place{dir: dir}.openDir()
}

// OpenDirFS is OpenDir for the root of fsys.
func OpenDirFS(fsys fs.FS) (*Dir, error) {
	return place{fsys: fsys}.openDir()
}

func (p place) openDir() (*Dir, error) {
	whole := true
	if _, err := p.stat(WeightsName); errors.Is(err, fs.ErrNotExist) {
		whole = false
		if _, err := p.stat(IndexName); errors.Is(err, fs.ErrNotExist) {
			return nil, named(p.label("."), fmt.Errorf("neither %s nor %s: %w", WeightsName, IndexName, fs.ErrNotExist))
		}
	}
	d := &Dir{name: p.label("."), fileOf: make(map[string]*File)}
	var err error
	if whole {
		err = d.addWhole(p)
	} else {
		err = d.addShards(p)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// addWhole opens the only file of a checkpoint.
func (d *Dir) addWhole(p place) error {
	f, err := p.open(WeightsName)
	if err != nil {
		return err
	}
	d.shards = append(d.shards, f)
	for name := range f.byName {
		d.fileOf[name] = f
	}
	return nil
}

// addShards opens every shard that the index names and finds its tensors
// there.
func (d *Dir) addShards(p place) error {
	index := p.label(IndexName)
	text, err := p.read(IndexName, maxIndex)
	if err != nil {
		return named(index, err)
	}
	shardOf, err := parseIndex(text)
	if err != nil {
		return named(index, err)
	}
	files := make(map[string]*File)
	for _, tensor := range slices.Sorted(maps.Keys(shardOf)) {
		shard := shardOf[tensor]
		f := files[shard]
		if f == nil {
			if f, err = p.open(shard); err != nil {
				return named(index, fmt.Errorf("tensor %s: %w", quote(tensor), err))
			}
			files[shard] = f
			d.shards = append(d.shards, f)
		}
		if _, ok := f.byName[tensor]; !ok {
			return named(index, fmt.Errorf("%w: %s in shard %s", ErrNotFound, quote(tensor), quote(shard)))
		}
		d.fileOf[tensor] = f
	}
	return nil
}

// Tensor returns the tensor called name, without copying its data; see
// File.Tensor.
func (d *Dir) Tensor(name string) (Tensor, error) {
	if d.closed {
		return Tensor{}, named(d.name, fs.ErrClosed)
	}
	f, ok := d.fileOf[name]
	if !ok {
		return Tensor{}, named(d.name, fmt.Errorf("%w: %s", ErrNotFound, quote(name)))
	}
	return f.Tensor(name)
}

// Names returns the names of all tensors, sorted.
func (d *Dir) Names() []string {
	return slices.Sorted(maps.Keys(d.fileOf))
}

// Close closes all files of the checkpoint. From then on the Data of every
// tensor it gave out is invalid: touching it may end the process. Closing
// again does nothing.
func (d *Dir) Close() error {
	d.closed, d.fileOf = true, nil
	var errs []error
	for _, f := range d.shards {
		errs = append(errs, f.Close())
	}
	d.shards = nil
	return errors.Join(errs...)
}
