package auth_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"

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
	// {Kind:bearer Header:Authorization Query: Value:REDACTED Origin: Remove:false Placeholder: Hidden:[REDACTED REDACTED] Owner:REDACTED checked:true signing:<nil>}
}

// A token that was revoked costs one refresh, and the application sees nothing of it.
func ExampleOAuth2() {
	issued := 0
	source, err := auth.NewOAuth2(auth.OAuth2Settings{
		Grant: "client_credentials", TokenURL: "https://login.example/token",
		ClientID:     func() (string, error) { return "my-app", nil },
		ClientSecret: func() (string, error) { return "s3cret", nil },
		RefreshShare: 0.2,
		Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			issued++
			body := fmt.Sprintf(`{"access_token": "token-%d", "token_type": "Bearer", "expires_in": 3600}`, issued)
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body))}, nil
		}),
		OnRefresh: func(e auth.RefreshEvent) { fmt.Println("refreshed:", e.Reason) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	client := auth.Wrap(source, nil)(roundTripper(func(req *http.Request) (*http.Response, error) {
		fmt.Println("sent:", req.Header.Get("Authorization"))
		if req.Header.Get("Authorization") == "Bearer token-1" {
			return &http.Response{StatusCode: 401, Body: http.NoBody}, nil
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}))

	req, _ := http.NewRequest("POST", "https://api.example/orders", strings.NewReader("one"))
	resp, _ := client.RoundTrip(req)
	fmt.Println("answer:", resp.StatusCode)
	// Output:
	// refreshed: first
	// sent: Bearer token-1
	// refreshed: refused
	// sent: Bearer token-2
	// answer: 200
}
