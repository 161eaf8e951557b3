package redis

// slots is how many slots a cluster shares out.
const slots = 16384

// slotOf is the cluster slot of a key: CRC16 of the text between its first '{'
// and the next '}', if there is any, else of the whole (cluster spec, "Hash tags").
func slotOf[K string | []byte](key K) int {
	from, to := 0, len(key)
	if open := index(key, 0, '{'); open >= 0 {
		if end := index(key, open+1, '}'); end > open+1 {
			from, to = open+1, end
		}
	}
	crc := uint16(0)
	for i := from; i < to; i++ {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^key[i]]
	}
	return int(crc) % slots
}

func index[K string | []byte](key K, from int, c byte) int {
	for i := from; i < len(key); i++ {
		if key[i] == c {
			return i
		}
	}
	return -1
}

// crcTable is CRC-16/XMODEM: polynomial 0x1021 (crc16.c).
var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return table
}()
