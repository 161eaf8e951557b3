package redis

import "strings"

// slots is how many slots a cluster shares out.
const slots = 16384

// slotOf is the cluster slot of a key: CRC16 of the text between its first '{'
// and the next '}', if there is any, else of the whole (cluster spec, "Hash tags").
func slotOf(key string) int {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		if length := strings.IndexByte(key[open+1:], '}'); length > 0 {
			key = key[open+1 : open+1+length]
		}
	}
	crc := uint16(0)
	for i := range len(key) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^key[i]]
	}
	return int(crc) % slots
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
