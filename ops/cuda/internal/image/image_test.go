package image

import (
	"bytes"
	"compress/gzip"
	"errors"
	"testing"
	"testing/fstest"
)

func folder(t *testing.T, names ...string) fstest.MapFS {
	t.Helper()
	dir := fstest.MapFS{"bin/README.md": {Data: []byte("not a kernel")}, "bin/sm_x.cubin.gz": {}, "bin/sm_80.ptx.gz": {}}
	for _, name := range names {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte("code of " + name)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		dir["bin/"+name] = &fstest.MapFile{Data: b.Bytes()}
	}
	return dir
}

func TestLoad(t *testing.T) {
	all := []string{"sm_80.cubin.gz", "sm_86.cubin.gz", "sm_89.cubin.gz", "sm_90.cubin.gz", "sm_90a.cubin.gz", "sm_100a.cubin.gz",
		"sm_120.cubin.gz", "compute_80.ptx.gz", "compute_90.ptx.gz"}
	for _, c := range []struct {
		major, minor int
		want         string // empty for none
	}{
		{7, 5, ""},
		{8, 0, "sm_80.cubin.gz"},
		{8, 6, "sm_86.cubin.gz"},
		{8, 7, "sm_86.cubin.gz"},
		{8, 9, "sm_89.cubin.gz"},
		{9, 0, "sm_90a.cubin.gz"},
		{9, 1, "sm_90.cubin.gz"},
		{10, 0, "sm_100a.cubin.gz"},
		{10, 3, "compute_90.ptx.gz"}, // code for 10.0 alone does not run on it
		{12, 1, "sm_120.cubin.gz"},
		{13, 0, "compute_90.ptx.gz"},
	} {
		name, code, err := Load(folder(t, all...), "bin", c.major, c.minor, false)
		if name != c.want {
			t.Errorf("%d.%d: %q, want %q", c.major, c.minor, name, c.want)
			continue
		}
		if c.want == "" {
			if !errors.Is(err, ErrNone) {
				t.Errorf("%d.%d: error %v, want %v", c.major, c.minor, err, ErrNone)
			}
			continue
		}
		if err != nil || string(code) != "code of "+name {
			t.Errorf("%d.%d: %q, error %v", c.major, c.minor, code, err)
		}
	}
}

func TestLoadPTX(t *testing.T) {
	dir := folder(t, "sm_90.cubin.gz", "sm_90a.cubin.gz", "compute_80.ptx.gz", "compute_90.ptx.gz")
	for major, want := range map[int]string{8: "compute_80.ptx.gz", 9: "compute_90.ptx.gz", 13: "compute_90.ptx.gz"} {
		if name, _, err := Load(dir, "bin", major, 0, true); name != want || err != nil {
			t.Errorf("%d.0: %q, error %v, want %q", major, name, err, want)
		}
	}
	if _, _, err := Load(folder(t, "sm_90.cubin.gz"), "bin", 9, 0, true); !errors.Is(err, ErrNone) {
		t.Errorf("no code to compile: error %v, want %v", err, ErrNone)
	}
}

func TestLoadDamaged(t *testing.T) {
	for name, data := range map[string][]byte{"empty": {}, "no gzip": []byte("text"), "cut": folder(t, "sm_80.cubin.gz")["bin/sm_80.cubin.gz"].Data[:20]} {
		dir := fstest.MapFS{"bin/sm_80.cubin.gz": {Data: data}}
		if _, _, err := Load(dir, "bin", 8, 0, false); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
