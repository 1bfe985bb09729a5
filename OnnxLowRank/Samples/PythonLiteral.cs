using System.Globalization;

namespace OnnxLowRank.Samples;

/// <summary>A reader for the few kinds of Python literal that .npy headers are made of; says what it expected and where.</summary>
sealed class PythonLiteral(string text, string name)
{
    int _at;

    /// <summary>The next character that is no white space; NUL at the end.</summary>
    public char Next
    {
        get
        {
            while (_at < text.Length && text[_at] is ' ' or '\t' or '\n' or '\r')
            {
                _at++;
            }
            return _at < text.Length ? text[_at] : '\0';
        }
    }

    public bool Take(char wanted)
    {
        bool found = Next == wanted && _at < text.Length;
        _at += found ? 1 : 0;
        return found;
    }

    public void Expect(char wanted)
    {
        if (!Take(wanted))
        {
            throw Expected($"'{wanted}'");
        }
    }

    public void ExpectEnd()
    {
        _ = Next;
        if (_at < text.Length)
        {
            throw Expected("its end");
        }
    }

    /// <summary>A string in single or double quotes, without escapes.</summary>
    public string Quoted()
    {
        char quote = Next;
        int end = quote is '\'' or '"' ? text.IndexOf(quote, _at + 1) : -1;
        if (end < 0 || text.AsSpan(_at, end - _at).Contains('\\'))
        {
            throw Expected("a string");
        }
        string content = text[(_at + 1)..end];
        _at = end + 1;
        return content;
    }

    public bool Boolean()
    {
        _ = Next;
        foreach (bool value in new[] { true, false })
        {
            string word = value ? "True" : "False";
            if (string.CompareOrdinal(text, _at, word, 0, word.Length) == 0)
            {
                _at += word.Length;
                return value;
            }
        }
        throw Expected("True or False");
    }

    /// <summary>(), (3,), (3, 4) or (3, 4,), also with the L that Python 2 put behind numbers; (3) is no tuple.</summary>
    public long[] Tuple(int longest)
    {
        var numbers = new List<long>();
        Expect('(');
        bool comma = true;
        while (!Take(')'))
        {
            if (!comma || numbers.Count == longest)
            {
                throw Expected(comma ? $"at most {longest} axes" : "',' or ')'");
            }
            numbers.Add(Number());
            comma = Take(',');
        }
        return numbers.Count == 1 && !comma ? throw Expected("',' in a tuple of one") : [.. numbers];
    }

    long Number()
    {
        _ = Next;
        int end = _at;
        while (end < text.Length && (char.IsAsciiDigit(text[end]) || (end == _at && text[end] == '-')))
        {
            end++;
        }
        if (!long.TryParse(text.AsSpan(_at, end - _at), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number))
        {
            throw Expected("a number below 2^63");
        }
        if (number < 0)
        {
            throw new DataException($"{name}: .npy header has the negative dimension {number}");
        }
        _at = end < text.Length && text[end] == 'L' ? end + 1 : end;
        return number;
    }

    DataException Expected(string what) => new($"{name}: .npy header is broken at character {_at}: expected {what}");
}
