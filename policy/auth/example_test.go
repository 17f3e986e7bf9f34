package auth_test

import (
	"fmt"
	"net/http"

	"outrider/policy/auth"
)

// The application knows no key, or a wrong one; the provider gets the real one,
// and no log does.
func Example() {
	source, err := auth.New(auth.Settings{
		Type:  auth.Bearer,
		Value: func() (string, error) { return "ghp_realsecret", nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := auth.Wrap(source, nil)(roundTripper(func(req *http.Request) (*http.Response, error) {
		fmt.Println("sent:", req.Header.Get("Authorization"))
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}))

	req, _ := http.NewRequest("GET", "https://api.github.com/user", nil)
	req.Header.Set("Authorization", "Bearer placeholder")
	client.RoundTrip(req)
	fmt.Println("the application's request:", req.Header.Get("Authorization"))

	token, _ := source.Token(req.Context(), auth.Token{})
	fmt.Printf("%+v\n", token)
	// Output:
	// sent: Bearer ghp_realsecret
	// the application's request: Bearer placeholder
	// {Kind:bearer Header:Authorization Query: Value:REDACTED Remove:false Placeholder: Hidden:[REDACTED REDACTED]}
}
