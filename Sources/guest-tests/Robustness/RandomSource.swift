// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Random numbers that a seed repeats: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
struct RandomSource: RandomNumberGenerator {
    private var state: UInt64

    /// Makes a source; equal seeds make equal numbers.
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// True once in `chances` times.
    mutating func once(in chances: Int) -> Bool { Int.random(in: 0..<chances, using: &self) == 0 }

    /// One of some values.
    mutating func one<Value>(of values: [Value]) -> Value { values[Int.random(in: 0..<values.count, using: &self)] }

    /// The seed of a sequence that comes after the one of `seed`.
    static func next(after seed: UInt64) -> UInt64 {
        var source = RandomSource(seed: seed)
        return source.next() >> 32
    }

    /// The seed of this process: `HMMLAB_SEED` where it is a number, else a new one.
    static var processSeed: UInt64 {
        getenv("HMMLAB_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 1...UInt64(UInt32.max))
    }
}
