package tokenizer_test

import (
	"fmt"
	"log"

	"github.com/gorgonia/moe/examples/mixtral/tokenizer"
)

func Example() {
	tok, err := tokenizer.Open("../testdata/golden/mixtral-8x7b-tokenizer/tokenizer.json")
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("The capital of France", true)
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range ids {
		token, _ := tok.Token(id)
		fmt.Println(id, token)
	}
	text, err := tok.Decode(ids, true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output:
	// 1 <s>
	// 415 ▁The
	// 5565 ▁capital
	// 302 ▁of
	// 4843 ▁France
	// The capital of France
}

// A Stream shows a text while it is generated.
func ExampleStream() {
	tok, err := tokenizer.Open("../testdata/golden/mixtral-8x7b-tokenizer/tokenizer.json")
	if err != nil {
		log.Fatal(err)
	}
	stream := tok.NewStream(true)
	for _, id := range []int32{1, 22557, 28725, 28705, 243, 162, 156, 133, 1526, 2} {
		text, err := stream.Push(id)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q ", text)
	}
	fmt.Printf("%q\n", stream.Flush())
	// Output: "" "Hello" "," " " "" "" "" "" "🙂 world" "" ""
}
