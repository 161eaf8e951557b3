package httpcache

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0s", " 7 ": "7s", "007": "7s", "2147483647": "596523h14m7s", "2147483648": "596523h14m8s", strings.Repeat("9", 99): "596523h14m8s",
		"": "bad", "-1": "bad", "+1": "bad", "1.5": "bad", "1s": "bad", "1, 2": "bad", "0x1": "bad", "1_0": "bad", "١": "bad",
	} {
		age, ok, err := Age(http.Header{"Age": {text}})
		got := age.String()
		if err != nil {
			got = "bad"
		}
		if got != want || ok != (err == nil) {
			t.Errorf("%q: %s, %v, %v; want %s", text, got, ok, err, want)
		}
	}
	if _, ok, err := Age(http.Header{}); ok || err != nil {
		t.Error("no Age is none")
	}
	if _, _, err := Age(http.Header{"Age": {"1", "1"}}); err == nil {
		t.Error("two Ages are one")
	}
}

func TestCacheStatuses(t *testing.T) {
	ttl := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		text string
		want []CacheStatus
	}{
		{"", nil},
		{"ExampleCache; hit", []CacheStatus{{Cache: "ExampleCache", Hit: true}}},
		{"ExampleCache; hit; ttl=30; key=abc", []CacheStatus{{Cache: "ExampleCache", Hit: true, TTL: ttl(30)}}},
		{"ExampleCache; fwd=stale; fwd-status=304; collapsed; ttl=-412", []CacheStatus{{Cache: "ExampleCache", Fwd: "stale", Status: 304, Collapsed: true, TTL: ttl(-412)}}},
		{`OriginCache; hit; ttl=1100, "CDN \"Company\" Here"; fwd=uri-miss;stored;detail="why, because"`,
			[]CacheStatus{{Cache: "OriginCache", Hit: true, TTL: ttl(1100)}, {Cache: `CDN "Company" Here`, Fwd: "uri-miss", Stored: true, Detail: "why, because"}}},
		{"a;hit=?0, b;hit=?1;x=:aGk=:;y=1.25", []CacheStatus{{Cache: "a"}, {Cache: "b", Hit: true}}},
		{`a;hit="yes";ttl=1.5;fwd="miss";fwd-status=7`, []CacheStatus{{Cache: "a"}}},
		{"a;ttl=1;ttl=2", []CacheStatus{{Cache: "a", TTL: ttl(2)}}},
		{"cache.example/1:2*;hit", []CacheStatus{{Cache: "cache.example/1:2*", Hit: true}}},
	} {
		got, err := CacheStatuses(http.Header{"Cache-Status": {c.text}})
		if err != nil || !reflect.DeepEqual(got, c.want) && len(got)+len(c.want) > 0 {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
	}
	for _, bad := range []string{"a,", ",a", "a b", "a;", "a; ;b", "a;Hit", "a;ttl=", "a;ttl=-", "a;ttl=1234567890123456", "a;ttl=1.", "a;ttl=1.1234", "a;ttl=1234567890123.1",
		`"a`, `"a\x"`, `"a\`, "\"\x7f\"", "\"é\"", "(a b)", "?1;hit", "12;hit", ":aGk=:;hit", "a;x=?2", "a;x=:a", "a;x=:!:", "\ta", "a;x=@1", "é"} {
		if got, err := CacheStatuses(http.Header{"Cache-Status": {bad}}); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// printList writes a list as RFC 8941 has it.
func printList(items []sfItem) string {
	bare := func(value any) string {
		switch v := value.(type) {
		case int64:
			return strconv.FormatInt(v, 10)
		case float64:
			return strings.TrimRight(strconv.FormatFloat(v, 'f', 3, 64), "0") + map[bool]string{true: "0"}[v == float64(int64(v))]
		case string:
			return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
		case sfToken:
			return string(v)
		case []byte:
			return ":" + base64.StdEncoding.EncodeToString(v) + ":"
		case bool:
			return map[bool]string{true: "?1", false: "?0"}[v]
		}
		panic(fmt.Sprintf("%T", value))
	}
	var all []string
	for _, item := range items {
		text := bare(item.value)
		for _, p := range item.params {
			text += ";" + p.key + "=" + bare(p.value)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// FuzzCacheStatus: the parser ends, and what it takes, written anew, is the same.
func FuzzCacheStatus(f *testing.F) {
	for _, text := range []string{`OriginCache; hit; ttl=1100, "CDN Company Here"; fwd=uri-miss`, "a;x=:aGk=:;y=-1.250;z=?0", "a;hit=?1", `"\\\"";detail="x"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		CacheStatuses(http.Header{"Cache-Status": {text}})
		items, err := (&sfParser{rest: text}).list()
		if err != nil {
			return
		}
		again, err := (&sfParser{rest: printList(items)}).list()
		if err != nil || !reflect.DeepEqual(items, again) {
			t.Errorf("%q is %v, written as %q it is %v, %v", text, items, printList(items), again, err)
		}
	})
}

// FuzzJudge: whatever a server sends, there is a verdict with a reason, and no
// hit of an old age passes.
func FuzzJudge(f *testing.F) {
	f.Add("HIT", "5000", "a;hit", "MISS, HIT", "1 2", 200)
	f.Fuzz(func(t *testing.T, cf, age, status, xcache, varnish string, code int) {
		purged := time.Unix(1e9, 0)
		h := http.Header{"Cf-Cache-Status": {cf}, "Age": {age}, "Cache-Status": {status}, "X-Cache": {xcache}, "X-Varnish": {varnish}}
		r := Response{Sent: purged.Add(time.Minute), At: purged.Add(time.Minute), Status: code, Header: h}
		got := Judge(Response{}, r, purged)
		if len(got.Evidence) == 0 {
			t.Errorf("%s without a reason", got.Verdict)
		}
		if d, ok, _ := Age(h); ok && d > 2*time.Minute && got.Verdict == Fresh {
			t.Errorf("age %v: %v", d, got)
		}
		r.Summary()
	})
}
