package intercept_test

import (
	"fmt"
	"os"

	"outrider/proxy/intercept"
)

func Example() {
	dir, err := os.MkdirTemp("", "outrider-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	issuer, err := intercept.Open(dir).Issuer([]string{"api.github.com", "*.myshopify.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	// As tls.Config.GetCertificate would, with the name that the client wants.
	for _, host := range []string{"api.github.com", "shoes.myshopify.com", "bank.example.com"} {
		certificate, err := issuer.Certificate(host)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(certificate.Leaf.DNSNames, "with a chain of", len(certificate.Certificate))
	}
	// Output:
	// [api.github.com] with a chain of 2
	// [shoes.myshopify.com] with a chain of 2
	// "bank.example.com" is not one of the names that TLS is terminated for
}
