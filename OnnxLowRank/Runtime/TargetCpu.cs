namespace OnnxLowRank.Runtime;

/// <summary>Kinds of processors, by how their kernels add up products of 8-bit numbers.</summary>
public enum TargetCpu
{
    /// <summary>This machine's.</summary>
    Native,

    /// <summary>x86 without dot-product instructions: two products are added in 16 bits, which saturate unless weights have 7 bits.</summary>
    Avx2,

    /// <summary>x86 with AVX-VNNI or AVX-512 VNNI: products are added in 32 bits.</summary>
    Vnni,

    /// <summary>ARM: products are added in 32 bits, or in 16 that cannot overflow.</summary>
    Arm,
}
