using System.Text.RegularExpressions;
using Microsoft.ML.OnnxRuntime;

namespace OnnxLowRank.Runtime;

/// <summary>What ONNX Runtime says, without what only its developers read: error numbers, source files, C++ signatures, folders of libraries.</summary>
static partial class OrtMessage
{
    public static string Of(OnnxRuntimeException e)
    {
        string text = ErrorCode().Replace(e.Message.ReplaceLineEndings(" ").Trim(), "");
        text = Origin().Replace(text, "");
        text = LoaderFailure().Replace(text, "");
        return LibraryFolder().Replace(text, "").Trim();
    }

    /// <summary>[ErrorCode:Fail], [ONNXRuntimeError] : 1 : FAIL :</summary>
    [GeneratedRegex(@"\[ErrorCode:\w+\]\s*|\[ONNXRuntimeError\] : \d+ : \w+ :\s*")]
    private static partial Regex ErrorCode();

    /// <summary>/path/file.cc:12 type name(arguments) — the arguments with their own parentheses, and perhaps a function without a name inside.</summary>
    [GeneratedRegex(@"\S+\.(?:cc|cpp|h|hpp):\d+ [^()]*\((?:[^()]|(?<open>\()|(?<-open>\)))*(?(open)(?!))\)(?: const)?(?: \[with [^\]]*\])?(?:::<lambda\([^)]*\)>)?\s*")]
    private static partial Regex Origin();

    [GeneratedRegex(@"^Failed to load library \S+ with error:\s*")]
    private static partial Regex LoaderFailure();

    [GeneratedRegex(@"(?:/[^/\s:']+)+/(?=lib[^/\s:']*\.(?:so|dylib))")]
    private static partial Regex LibraryFolder();
}
