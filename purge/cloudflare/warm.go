package cloudflare

import (
	"net/http"
	"sync"

	"github.com/cloudflare/cloudflare-go/v7/cache"

	"github.com/cachectl/cachectl/purge"
)

// warm lets cloudflare-go meet every kind of body before calls run side by side.
// What it learns of a type it keeps, and while it learns a further one it writes to
// what others read (v7.9.0, internal/apijson/encoder.go, the field root): a data
// race, seen by TestPurgeInterrupted under the race detector. What is known
// already writes nothing.
var warm = sync.OnceFunc(func() {
	for _, item := range []purge.Item{
		{Kind: purge.URL, Value: "x"}, {Kind: purge.URL, Value: "x", Header: http.Header{"X": {"x"}}},
		{Kind: purge.Tag, Value: "x"}, {Kind: purge.Host, Value: "x"}, {Kind: purge.Prefix, Value: "x"}, {Kind: purge.Everything},
	} {
		if f, err := fieldsOf([]purge.Item{item}); err == nil {
			cache.CachePurgeParams{Body: f.zone()}.MarshalJSON()
			cache.CachePurgeEnvironmentParams{Body: f.environment()}.MarshalJSON()
		}
	}
})
