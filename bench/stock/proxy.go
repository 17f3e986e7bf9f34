package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
)

// newProxy hands requests on to base, with the credential.
func newProxy(base string, transport http.RoundTripper) (*httputil.ReverseProxy, error) {
	target, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Set("Authorization", "Bearer x0123456789abcdef0123456789abcdef")
		},
		Transport:  transport,
		BufferPool: new(buffers),
	}, nil
}

// buffers are the ones that bodies are copied with.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
