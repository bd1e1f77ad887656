package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// FuzzHeader feeds whole safetensors files. What is accepted must hold the
// promises of Parse, be JSON to encoding/json too, and survive being written
// and read again.
func FuzzHeader(f *testing.F) {
	f.Add(small())
	f.Add(raw("{}", ""))
	f.Add(raw(`{"w":{"dtype":"F4","shape":[2,0],"data_offsets":[0,0]}} `, ""))
	f.Add(raw(`{"a":{"dtype":"U8","shape":[],"data_offsets":[1,2]},"b":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, "ab"))
	f.Add(raw(`{"w":{"dtype":"U8","shape":[9223372036854775807,2],"data_offsets":[0,18446744073709551615]}}`, "ab"))
	f.Add(raw(`{"w":[[[[{"w":[`, ""))
	f.Fuzz(func(t *testing.T, file []byte) {
		a, err := Parse(file)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTruncated) {
				t.Fatalf("error %v wraps no sentinel", err)
			}
			return
		}
		checkFile(t, a, file)
		if !json.Valid(file[8 : 8+binary.LittleEndian.Uint64(file)]) {
			t.Fatal("accepted a header that is not JSON")
		}
		var out bytes.Buffer
		if err := WriteMetadata(&out, a.Metadata(), slices.Collect(a.All())...); err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		b, err := Parse(out.Bytes())
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		checkFile(t, b, out.Bytes())
		if !slices.Equal(a.Names(), b.Names()) || !maps.Equal(a.Metadata(), b.Metadata()) {
			t.Fatalf("names %q and metadata %q became %q and %q", a.Names(), a.Metadata(), b.Names(), b.Metadata())
		}
		for x := range a.All() {
			y, err := b.Tensor(x.Name)
			if err != nil || x.DType != y.DType || !slices.Equal(x.Shape, y.Shape) || !bytes.Equal(x.Data, y.Data) {
				t.Fatalf("%+v became %+v, error %v", x, y, err)
			}
		}
	})
}

// FuzzConfig feeds config.json files. What is accepted must be valid, keep
// within the limits, and read the same again.
func FuzzConfig(f *testing.F) {
	f.Add(config())
	f.Add(config(`"eos_token_id":[1,2]`, `"sliding_window":3`, `"head_dim":4`, `"torch_dtype":"bfloat16"`))
	f.Add(config(`"rope_scaling":{"type":"default","rope_theta":1e4}`, `"num_key_value_heads":null`))
	f.Add([]byte(`{"architectures":["MixtralForCausalLM"],"rope_parameters":{"rope_theta":1e6,"rope_type":"yarn"}}`))
	f.Add([]byte(`{"model_type":"mixtral","num_experts":3,"quantization_config":null,"dtype":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrConfig) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("error %v wraps no sentinel", err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(text) {
			t.Fatal("accepted what is not JSON")
		}
		if again, err := ParseConfig(text); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("read again: %+v, error %v", again, err)
		}
		n := 0
		for _, shape := range c.Tensors(Stacked) {
			if n++; n > 100 {
				break
			}
			for _, size := range shape {
				if size < 1 || size > 1<<28 {
					t.Fatalf("shape %v of config %+v", shape, c)
				}
			}
		}
	})
}

// FuzzIndex feeds index files. What is accepted must name plain files only and
// agree with encoding/json.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":1},"weight_map":{"a":"x.safetensors","b":"y.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../x","b":"C:\\x"}}`))
	f.Add([]byte(`{"weight_map":{"a":"x","a":"y"}}`))
	f.Add([]byte(`{"weight_map":{"\u0061":"\u002e\u002e"},"more":[[[]]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		shardOf, err := parseIndex(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error %v wraps no sentinel", err)
			}
			return
		}
		for tensor, shard := range shardOf {
			if shard == "" || shard == "." || shard == ".." || strings.ContainsAny(shard, "/\\:\x00") {
				t.Fatalf("tensor %q is in shard %q", tensor, shard)
			}
		}
		var members map[string]json.RawMessage // matches names exactly, as a struct would not
		var want map[string]string
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(members["weight_map"], &want); err != nil || !maps.Equal(shardOf, want) {
			t.Fatalf("got %q, encoding/json says %q, error %v", shardOf, want, err)
		}
	})
}
