package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"strconv"
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// Values are looked at for their format, of which the biggest may have formatBytes.
const (
	formatTries = 20
	formatBytes = 1 << 20
)

// Format is "rdb/11": RDB, and the newest version that a master writes, which stands at
// the end of what DUMP gives of a key drawn at random. It is "" where all are empty.
func (c *cache) Format(ctx context.Context) (string, error) {
	shards, err := c.shards(ctx)
	if err != nil {
		return "", err
	}
	newest := uint16(0)
	for _, s := range shards {
		v, err := s.master.format(ctx)
		if err != nil {
			return "", fail(ctx, s.master.addr, err)
		}
		newest = max(newest, v)
	}
	if newest == 0 {
		return "", nil
	}
	return formRDB + "/" + strconv.Itoa(int(newest)), nil
}

func (n *node) format(ctx context.Context) (version uint16, err error) {
	for range formatTries {
		key, err := n.client.RandomKey(ctx).Result()
		if classify(err) == noKey {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		size, err := n.client.MemoryUsage(ctx, key).Result()
		if err != nil && !refused(err) || size > formatBytes {
			continue
		}
		payload, err := n.client.Dump(ctx, key).Result()
		switch {
		case classify(err) == noKey:
			continue
		case err != nil:
			return 0, err
		case len(payload) < 11:
			return 0, protocolError("an answer to DUMP that is no payload")
		}
		return binary.LittleEndian.Uint16([]byte(payload[len(payload)-10:])), nil
	}
	return 0, fmt.Errorf("no key was found that tells the format of records")
}

// Takes asks every master to restore a payload of a format, of a type that there is none
// of: it looks at the version first, and then refuses the type. Nothing is written.
func (c *cache) Takes(ctx context.Context, format string) (bool, error) {
	number, ok := strings.CutPrefix(format, formRDB+"/")
	version, err := strconv.ParseUint(number, 10, 16)
	if !ok || err != nil {
		return false, nil
	}
	shards, err := c.shards(ctx)
	if err != nil {
		return false, err
	}
	payload := binary.LittleEndian.AppendUint16([]byte{noType}, uint16(version))
	payload = binary.LittleEndian.AppendUint64(payload, ^crc64.Update(^uint64(0), jones, payload))
	for _, s := range shards {
		key := ownKey(s, c.topology == cluster)
		answer := c.fills(s.master).Do(ctx, "restore", key, 1, payload).Err()
		switch {
		case answer != nil && strings.Contains(answer.Error(), "Bad data format"):
		case answer != nil && strings.Contains(answer.Error(), "payload version or checksum are wrong"):
			return false, nil
		case answer == nil:
			return false, protocolError("a payload of no type was restored")
		default:
			return false, fail(ctx, s.master.addr, answer)
		}
	}
	return true, nil
}

// noType is a type that RDB has not: its types and opcodes end at both sides of it (rdb.h).
const noType = 200

// ownKey is a key that belongs to a shard.
func ownKey(s shard, clustered bool) string {
	for i := int64(0); ; i++ {
		key := "cachectl:format:" + text(i)
		if !clustered {
			return key
		}
		slot := slotOf(key)
		for _, r := range s.slots {
			if r.from <= slot && slot <= r.to {
				return key
			}
		}
	}
}

var _ backends.Formatter = (*cache)(nil)
