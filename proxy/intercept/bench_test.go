package intercept_test

import (
	"fmt"
	"testing"

	"outrider/proxy/intercept"
)

func BenchmarkMint(b *testing.B) {
	i := issuerFor(b, intercept.Open(b.TempDir()), "*.example.test")
	hosts := make([]string, b.N)
	for n := range hosts {
		hosts[n] = fmt.Sprintf("n%d.example.test", n)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, host := range hosts {
		if _, err := i.Certificate(host); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeptLeaf(b *testing.B) {
	i := issuerFor(b, intercept.Open(b.TempDir()), "*.example.test")
	leafFor(b, i, "a.example.test")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Certificate("a.example.test"); err != nil {
			b.Fatal(err)
		}
	}
}
