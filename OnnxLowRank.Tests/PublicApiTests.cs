using System.Reflection;
using System.Runtime.CompilerServices;

namespace OnnxLowRank.Tests;

/// <summary>What users of the library can name is decided, not grown: every public type and member is a line of a file.</summary>
public class PublicApiTests
{
    const string Committed = "OnnxLowRank/PublicApi.txt";
    const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    static readonly Type[] s_unsaid = [typeof(object), typeof(ValueType), typeof(Enum)];
    static readonly NullabilityInfoContext s_nullability = new();

    [Fact]
    public void It_is_what_the_file_says() => CommittedText.AssertIsUpToDate(Committed, _ => string.Join('\n', Lines(typeof(Compressor).Assembly).Order(StringComparer.Ordinal)) + "\n");

    [Fact]
    public void Generated_messages_are_not_part_of_it() => Assert.DoesNotContain(typeof(Compressor).Assembly.GetExportedTypes(), type => type.Namespace!.Contains("Proto"));

    static IEnumerable<string> Lines(Assembly assembly) => assembly.GetExportedTypes().SelectMany(type => Members(type).Prepend(Header(type)));

    static string Header(Type type)
    {
        string kind = type.IsEnum ? "enum" : type.IsInterface ? "interface" : type.IsValueType ? "struct" : type.IsAbstract && type.IsSealed ? "static class" : type.IsSealed ? "sealed class" : "class";
        Type? parent = type.BaseType;
        var inherited = type.IsEnum ? type.GetInterfaces() : parent?.GetInterfaces() ?? [];
        var interfaces = type.GetInterfaces().Except(inherited).Where(one => one.Name != "IEquatable`1"); // every record's
        string[] bases = [.. interfaces.Append(parent).OfType<Type>().Where(one => !s_unsaid.Contains(one)).Select(Name).Order(StringComparer.Ordinal)];
        return $"{Name(type)} ({kind}{(bases.Length > 0 ? $" : {string.Join(", ", bases)}" : "")})";
    }

    /// <summary>What is declared in the type and can be seen outside, but for what a record has anyway.</summary>
    static IEnumerable<string> Members(Type type)
    {
        string owner = Name(type);
        if (type.IsEnum)
        {
            return Enum.GetNames(type).Select(name => $"{owner}.{name} = {Convert.ToInt64(Enum.Parse(type, name))}");
        }
        bool IsWritten(MemberInfo member) => member.GetCustomAttribute<CompilerGeneratedAttribute>() == null;
        var constructors = type.GetConstructors(Declared).Where(one => IsSeen(one) && IsWritten(one)).Select(one => $"{owner}({Parameters(one)})");
        var methods = type.GetMethods(Declared).Where(one => IsSeen(one) && IsWritten(one) && !one.IsSpecialName)
            .Select(one => $"{owner}.{one.Name}({Parameters(one)}) -> {Name(s_nullability.Create(one.ReturnParameter))}{Static(one)}");
        var properties = type.GetProperties(Declared).Where(one => IsWritten(one) && Accessors(one).Length > 0)
            .Select(one => $"{owner}.{one.Name} {{ {Accessors(one)}}} -> {Name(s_nullability.Create(one))}{Static(one.GetMethod!)}");
        var fields = type.GetFields(Declared).Where(one => one.IsPublic || one.IsFamily).Select(one => $"{owner}.{one.Name} -> {Name(s_nullability.Create(one))}");
        return [.. constructors, .. methods, .. properties, .. fields];
    }

    static bool IsSeen(MethodBase? method) => method is { IsPublic: true } or { IsFamily: true } or { IsFamilyOrAssembly: true };

    static string Static(MethodBase method) => method.IsStatic ? " [static]" : "";

    static string Accessors(PropertyInfo property)
    {
        bool isInit = property.SetMethod?.ReturnParameter.GetRequiredCustomModifiers().Contains(typeof(IsExternalInit)) == true;
        string required = property.GetCustomAttribute<RequiredMemberAttribute>() != null ? "required " : "";
        return (IsSeen(property.GetMethod) ? "get; " : "") + (IsSeen(property.SetMethod) ? required + (isInit ? "init; " : "set; ") : "");
    }

    static string Parameters(MethodBase method) => string.Join(", ", method.GetParameters().Select(parameter =>
        $"{Name(s_nullability.Create(parameter))} {parameter.Name}{(parameter.HasDefaultValue ? $" = {parameter.DefaultValue ?? "default"}" : "")}"));

    static string Name(NullabilityInfo info)
    {
        var type = info.Type;
        if (Nullable.GetUnderlyingType(type) != null)
        {
            return Name(type);
        }
        string mark = !type.IsValueType && info.ReadState == NullabilityState.Nullable ? "?" : "";
        return info.ElementType is { } element ? $"{Name(element)}[]{mark}"
            : info.GenericTypeArguments.Length > 0 ? $"{Bare(type)}<{string.Join(", ", info.GenericTypeArguments.Select(Name))}>{mark}"
            : Name(type) + mark;
    }

    static string Name(Type type) => Nullable.GetUnderlyingType(type) is { } value ? $"{Name(value)}?"
        : type.IsGenericType ? $"{Bare(type)}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
        : Bare(type);

    /// <summary>With its namespace where it is one of ours.</summary>
    static string Bare(Type type)
    {
        string name = type.Name.Split('`')[0];
        string outer = type.DeclaringType is { } declaring ? $"{Bare(declaring)}." : type.Assembly == typeof(Compressor).Assembly ? $"{type.Namespace}." : "";
        return outer + name;
    }
}
