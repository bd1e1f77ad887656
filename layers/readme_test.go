package layers_test

import (
	"os"
	"strings"
	"testing"
)

// The program in the README is the package's example, line by line.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, found := strings.Cut(string(example), "import (")
	program = strings.Replace(program, "func Example() {", "func main() {", 1)
	if !found || !strings.Contains(string(readme), strings.TrimSpace(program)) {
		t.Error("README.md does not hold the program of example_test.go; copy it there, with main for Example")
	}
}
