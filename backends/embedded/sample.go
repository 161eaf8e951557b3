package embedded

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// How many there are of each thing in the shop. Traffic draws from the same.
const (
	sessions    = 600
	users       = 400
	products    = 500
	pages       = 180
	carts       = 240
	boards      = 24
	tags        = 90
	rateLimits  = 300
	visitorDays = 30
)

// load fills database 0 with a small shop. It is the same every time: keys,
// types, sizes, TTLs, idle times and frequencies follow from a fixed seed, and
// only the times in values and stream IDs follow the clock.
func (s *Server) load() error {
	l := &loader{db: s.db.DB(0), random: rand.New(rand.NewPCG(2026, 8)), now: s.clock.began, uses: map[string]use{}}
	for _, part := range []func(){
		l.sessions, l.users, l.products, l.pages, l.carts, l.leaderboards, l.tags, l.visitors, l.orders, l.settings,
		l.big, l.odd,
	} {
		part()
	}
	s.access[0] = l.uses
	return l.err
}

type loader struct {
	db     *miniredis.RedisDB
	random *rand.Rand
	now    time.Time
	uses   map[string]use
	err    error
}

// note keeps the first error.
func (l *loader) note(err error) {
	if l.err == nil {
		l.err = err
	}
}

// meta says how long a key lives (0: forever), when it was last used and how often.
func (l *loader) meta(key string, ttl, idle time.Duration, frequency int) {
	if ttl > 0 {
		l.db.SetTTL(key, ttl)
	}
	l.uses[key] = use{at: l.now.Add(-idle), counter: uint8(min(255, frequency)), decayed: l.now}
}

func (l *loader) set(key, value string) { l.note(l.db.Set(key, value)) }

// between is a whole number of units from low to high.
func (l *loader) between(low, high int, unit time.Duration) time.Duration {
	return time.Duration(low+l.random.IntN(high-low+1)) * unit
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// popular falls from high, for the first of a kind, towards low: few are hot.
func popular(i, high, low int) int { return low + (high-low)*4/(4+i) }

var (
	adjectives  = strings.Fields("plain warm light sturdy small folding cotton oak blue striped quiet wide")
	nouns       = strings.Fields("lamp chair mug blanket desk kettle shelf rug basket clock stool vase")
	givenNames  = strings.Fields("Ada Ben Chloe Dmitri Elif Farid Grace Hana Ivan Jonas Kirsten Luis Mei Nia Omar Priya")
	cities      = strings.Fields("Berlin Lisbon Nairobi Osaka Toronto Lima Oslo Pune")
	departments = []string{"home", "kitchen", "office", "garden", "bath", "kids"}
)

func sessionKey(i int) string {
	return fmt.Sprintf("session:%08x", uint32(place(fmt.Sprint("s", i))>>32))
}
func userKey(i int) string    { return fmt.Sprintf("user:%04d:profile", i) }
func productKey(i int) string { return fmt.Sprintf("product:%04d", i) }
func pageKey(i int) string    { return fmt.Sprintf("page:/%s/%d", departments[i%len(departments)], i) }
func boardKey(i int) string   { return fmt.Sprintf("leaderboard:week:%02d", i+1) }
func tagKey(i int) string     { return fmt.Sprintf("tags:%s:%02d", departments[i%len(departments)], i) }

// Sessions live 5 to 30 minutes, the busiest longest, and one forever: a leak.
func (l *loader) sessions() {
	for i := range sessions {
		key := sessionKey(i)
		l.set(key, fmt.Sprintf(`{"user":%d,"csrf":"%016x","ip":"203.0.113.%d","started":"%s","cart":%d}`,
			i%users, l.random.Uint64(), l.random.IntN(254)+1, l.now.Add(-l.between(1, 600, time.Second)).UTC().Format(time.RFC3339), i%carts))
		left := 5*time.Minute + time.Duration(sessions-i)*25*time.Minute/sessions
		l.meta(key, left, l.between(0, 5+i, time.Second), popular(i, 120, 2))
	}
	l.set("session:admin", `{"user":1,"role":"admin","remember":true}`)
	l.meta("session:admin", 0, 41*24*time.Hour, 0)
}

func (l *loader) users() {
	for i := range users {
		key := userKey(i)
		name := pick(l.random, givenNames)
		l.db.HSet(key, "id", fmt.Sprint(i), "name", name, "email", fmt.Sprintf("%s.%04d@example.com", strings.ToLower(name), i),
			"city", pick(l.random, cities), "orders", fmt.Sprint(l.random.IntN(60)), "newsletter", pick(l.random, []string{"yes", "no"}))
		ttl := l.between(6, 48, time.Hour)
		idle := l.between(0, 30+60*i, time.Second)
		if i%7 == 3 { // somebody forgot the TTL, and the user never came back
			ttl, idle = 0, l.between(2, 60, 24*time.Hour)
		}
		l.meta(key, ttl, idle, popular(i, 90, 1))
	}
}

// Products are JSON; every tenth is compressed, some come from a service that
// speaks MessagePack.
func (l *loader) products() {
	zip := gzip.NewWriter(nil)
	for i := range products {
		key := productKey(i)
		name := pick(l.random, adjectives) + " " + pick(l.random, nouns)
		price, stock := 499+100*l.random.IntN(200), l.random.IntN(900)
		text := strings.Repeat("A "+name+" that lasts. ", 1+l.random.IntN(12))
		json := fmt.Sprintf(`{"id":%d,"name":"%s","price_cents":%d,"stock":%d,"department":"%s","text":"%s"}`,
			i, name, price, stock, departments[i%len(departments)], text)
		switch {
		case i%10 == 4:
			var b bytes.Buffer
			zip.Reset(&b)
			_, err := zip.Write([]byte(json))
			l.note(err)
			l.note(zip.Close())
			l.set(key, b.String())
		case i%50 == 7:
			l.set(key, msgpack("id", i, "name", name, "price_cents", price, "stock", stock))
		default:
			l.set(key, json)
		}
		l.meta(key, 24*time.Hour-time.Duration(i)*time.Second, l.between(0, 2+20*i, time.Second), popular(i, 230, 1))
	}
}

// msgpack encodes a map of at most 15 names to small numbers and short strings.
func msgpack(fields ...any) string {
	b := []byte{0x80 | byte(len(fields)/2)}
	for _, f := range fields {
		switch f := f.(type) {
		case string:
			b = append(append(b, 0xA0|byte(len(f))), f...)
		case int:
			b = binary.BigEndian.AppendUint32(append(b, 0xCE), uint32(f))
		}
	}
	return string(b)
}

// Pages are rendered HTML. A quarter expires in the same second: a stampede to come.
func (l *loader) pages() {
	for i := range pages {
		key := pageKey(i)
		var b strings.Builder
		b.WriteString("<!doctype html><title>" + departments[i%len(departments)] + "</title><ul>")
		for range 4 + l.random.IntN(40) {
			p := l.random.IntN(products)
			fmt.Fprintf(&b, `<li><a href="/product/%04d">%s %s</a></li>`, p, pick(l.random, adjectives), pick(l.random, nouns))
		}
		l.set(key, b.String()+"</ul>")
		ttl := l.between(10, 180, time.Minute)
		if i%4 == 0 {
			ttl = time.Hour
		}
		l.meta(key, ttl, l.between(0, 10+15*i, time.Second), popular(i, 160, 1))
	}
}

func (l *loader) carts() {
	for i := range carts {
		key := fmt.Sprintf("cart:%05d", 10000+i)
		if i%3 == 0 { // as the old checkout kept them
			for range 1 + l.random.IntN(6) {
				_, err := l.db.Push(key, productKey(l.random.IntN(products)))
				l.note(err)
			}
		} else {
			for range 1 + l.random.IntN(6) {
				l.db.HSet(key, productKey(l.random.IntN(products)), fmt.Sprint(1+l.random.IntN(3)))
			}
		}
		l.meta(key, 2*time.Hour-time.Duration(i)*20*time.Second, time.Duration(i)*20*time.Second, popular(i, 40, 1))
	}
	l.db.HSet("cart:held", productKey(1), "1", productKey(2), "2", "coupon", "SPRING")
	l.db.HExpire("cart:held", productKey(1), 10*time.Minute)
	l.db.HExpire("cart:held", productKey(2), 20*time.Minute)
	l.meta("cart:held", 2*time.Hour, 5*time.Second, 6)
}

func (l *loader) leaderboards() {
	for i := range boards {
		key := boardKey(i)
		for range 20 + l.random.IntN(180) {
			l.zadd(key, float64(l.random.IntN(100000))/10, fmt.Sprintf("user:%04d", l.random.IntN(users)))
		}
		l.meta(key, time.Duration(14+i)*24*time.Hour, l.between(1, 60+600*i, time.Second), popular(i, 100, 3))
	}
}

func (l *loader) zadd(key string, score float64, member string) {
	_, err := l.db.ZAdd(key, score, member)
	l.note(err)
}

// Sets of product numbers, which a server keeps as integers, and of words.
func (l *loader) tags() {
	for i := range tags {
		key := tagKey(i)
		members := make([]string, 5+l.random.IntN(70))
		for j := range members {
			if members[j] = fmt.Sprint(l.random.IntN(products)); i%3 == 0 {
				members[j] = pick(l.random, adjectives) + "-" + pick(l.random, nouns)
			}
		}
		_, err := l.db.SetAdd(key, members...)
		l.note(err)
		l.meta(key, 0, l.between(1, 30+300*i, time.Second), popular(i, 70, 2))
	}
}

// Who was here, by day, as HyperLogLogs; and how often an address asked.
func (l *loader) visitors() {
	day := time.Date(2026, time.September, 1, 0, 0, 0, 0, time.UTC)
	for i := range visitorDays {
		key := "visitors:" + day.AddDate(0, 0, i).Format(time.DateOnly)
		who := make([]string, 100+l.random.IntN(400))
		for j := range who {
			who[j] = fmt.Sprint(l.random.IntN(5000))
		}
		_, err := l.db.HllAdd(key, who...)
		l.note(err)
		l.meta(key, time.Duration(60+i)*24*time.Hour, time.Duration(visitorDays-i)*24*time.Hour, 1)
	}
	for i := range rateLimits {
		key := fmt.Sprintf("ratelimit:203.0.113.%d:%d", i%254+1, i/254)
		l.set(key, fmt.Sprint(1+l.random.IntN(200)))
		l.meta(key, l.between(30, 60, time.Minute), l.between(0, 240, time.Second), popular(i, 60, 1))
	}
}

func (l *loader) orders() {
	const orders = 500
	for i := range orders {
		at := l.now.Add(-time.Duration(orders-i) * 47 * time.Second)
		_, err := l.db.XAdd("events:orders", fmt.Sprintf("%d-0", at.UnixMilli()), []string{"order", fmt.Sprint(70000 + i),
			"user", fmt.Sprint(l.random.IntN(users)), "product", productKey(l.random.IntN(products)), "cents", fmt.Sprint(499 + l.random.IntN(20000))})
		l.note(err)
	}
	l.meta("events:orders", 0, 3*time.Second, 35)
}

func (l *loader) settings() {
	for i, name := range strings.Fields("currency vat shipping theme payments search banner checkout limits mail sms seo") {
		l.set("config:"+name, fmt.Sprintf(`{"name":"%s","revision":%d,"enabled":%t}`, name, 10+i, i%5 != 0))
		l.meta("config:"+name, 0, time.Duration(i)*time.Second, popular(i, 180, 40))
	}
	l.set("config:maintenance", "0")
	l.meta("config:maintenance", 0, time.Second, 190)
	l.set("counter:orders", "70500")
	l.meta("counter:orders", 0, 3*time.Second, 50)
}

// The big ones.
func (l *loader) big() {
	var report strings.Builder
	report.Grow(3 << 19)
	for i := 0; report.Len() < 3<<19-64; i++ {
		fmt.Fprintf(&report, "2026-%02d-%02d,%s,%d,%d\n", 7+i%3, 1+i%28, productKey(i%products), i%40, 499+i%20000)
	}
	l.set("report:2026-q3", report.String())
	l.meta("report:2026-q3", 0, 19*24*time.Hour, 0)

	for i := range 20000 {
		l.zadd("leaderboard:all-time", float64(i*7919%100003), fmt.Sprintf("user:%05d", i))
	}
	l.meta("leaderboard:all-time", 0, 2*time.Second, 110)

	fields := make([]string, 0, 10000)
	for i := range 5000 {
		fields = append(fields, fmt.Sprintf("sku-%05d", i), fmt.Sprintf("%s;%d", departments[i%len(departments)], i*37%9000))
	}
	l.db.HSet("catalog:index", fields...)
	l.meta("catalog:index", 0, 8*time.Second, 75)

	mails := make([]string, 3000)
	for i := range mails {
		mails[i] = fmt.Sprintf(`{"to":"user.%04d@example.com","template":"order","order":%d}`, i%users, 70000+i)
	}
	_, err := l.db.Push("queue:mails", mails...)
	l.note(err)
	l.meta("queue:mails", 0, time.Second, 60)
}

// Names that break scripts.
func (l *loader) odd() {
	for _, key := range []string{"note:first line\nsecond line", "blob:\xff\xfe\x80\x00"} {
		l.set(key, "an odd name\n")
		l.meta(key, 0, 12*24*time.Hour, 1)
	}
}
